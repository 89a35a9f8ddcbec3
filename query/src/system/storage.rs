//! `GET /v1/system/storage`: use of storage by table and disk.

use axum::Json;
use axum::extract::State;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Principal;
use crate::api::{Problem, RequestId};
use crate::handler::Api;

const SQL: &str = "\
    select p.table as table, p.disk_name as disk, sum(p.rows) as rows, sum(p.bytes_on_disk) as bytes, \
    sum(p.data_uncompressed_bytes) as uncompressed_bytes, count() as parts, \
    nullIf(min(extract(p.partition, '[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{6}')), '') as oldest_partition \
    from system.parts as p where p.active and p.database = currentDatabase() \
    group by p.table, p.disk_name order by table, disk";

/// The part of a table that is on a disk.
#[derive(Debug, Clone, Serialize, Deserialize, Row, ToSchema)]
pub struct Stored {
    /// Table.
    table: String,
    /// Disk, which may hold recent or older parts.
    disk: String,
    /// Rows.
    rows: u64,
    /// Compressed size. Bytes.
    bytes: u64,
    /// Uncompressed size. Bytes.
    uncompressed_bytes: u64,
    /// Number of parts.
    parts: u64,
    /// Month (`202611`) or day (`2026-11-22`) of the oldest partition; absent if the table is not partitioned.
    oldest_partition: Option<String>,
}

/// Use of storage.
#[derive(Debug, Serialize, ToSchema)]
pub struct StorageAnswer {
    /// Ordered by table and disk.
    rows: Vec<Stored>,
}

/// Shows the use of storage.
#[utoipa::path(
    get, path = "/v1/system/storage", tag = "system",
    responses((status = 200, description = "Tables by disk.", body = StorageAnswer))
)]
pub async fn storage(
    State(api): State<Api>,
    principal: Principal,
    request: RequestId,
) -> Result<Json<StorageAnswer>, Problem> {
    let _admitted = api.admit(&principal).await?;
    let rows = api.store.system(&request, &principal.facts().limits, SQL).await?;
    Ok(Json(StorageAnswer { rows }))
}
