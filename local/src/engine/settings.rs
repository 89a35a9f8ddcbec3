//! Which settings a client may send in the URL.
//!
//! Enters: a setting's name. Leaves: nothing, or ClickHouse's own refusal: 115 for a name the engine does not know, 452
//! for one that is not on the list. The engine itself checks the values.
//!
//! On the list is what this project's services, the `clickhouse` crate, `curl` users, Grafana and Kafka Connect's sink
//! send, and what a migration or an operator needs. Not on it are settings that reach files or the network, that relax
//! the engine's memory and safety limits for everybody, or that are experimental.

use std::collections::HashSet;

use super::exception::{Code, Exception};

/// Exact names, by what they are for.
const ALLOWED: &[&str] = &[
    // delivery: what an insert pins
    "async_insert",
    "async_insert_busy_timeout_ms",
    "async_insert_deduplicate",
    "async_insert_max_data_size",
    "deduplicate_blocks_in_dependent_materialized_views",
    "deduplicate_insert",
    "deduplicate_insert_select",
    "insert_deduplicate",
    "insert_deduplication_token",
    "insert_null_as_default",
    "insert_quorum",
    "insert_quorum_parallel",
    "insert_quorum_timeout",
    "max_insert_block_size",
    "max_insert_block_size_bytes",
    "max_insert_threads",
    "max_partitions_per_insert_block",
    "min_insert_block_size_bytes",
    "min_insert_block_size_rows",
    "throw_on_max_partitions_per_insert_block",
    "use_async_block_ids_cache",
    "wait_for_async_insert",
    "wait_for_async_insert_timeout",
    // limits of one statement
    "distinct_overflow_mode",
    "group_by_overflow_mode",
    "join_overflow_mode",
    "max_ast_depth",
    "max_ast_elements",
    "max_block_size",
    "max_bytes_before_external_group_by",
    "max_bytes_before_external_sort",
    "max_bytes_in_distinct",
    "max_bytes_in_join",
    "max_bytes_in_set",
    "max_bytes_to_read",
    "max_bytes_to_sort",
    "max_columns_to_read",
    "max_estimated_execution_time",
    "max_execution_time",
    "max_expanded_ast_elements",
    "max_memory_usage",
    "max_query_size",
    "max_result_bytes",
    "max_result_rows",
    "max_rows_in_distinct",
    "max_rows_in_join",
    "max_rows_in_set",
    "max_rows_to_group_by",
    "max_rows_to_read",
    "max_rows_to_sort",
    "max_temporary_columns",
    "max_threads",
    "priority",
    "read_overflow_mode",
    "result_overflow_mode",
    "set_overflow_mode",
    "sort_overflow_mode",
    "timeout_before_checking_execution_speed",
    "timeout_overflow_mode",
    // what a select means
    "aggregate_functions_null_for_empty",
    "any_join_distinct_right_table_keys",
    "apply_deleted_mask",
    "apply_mutations_on_fly",
    "asterisk_include_alias_columns",
    "asterisk_include_materialized_columns",
    "cast_keep_nullable",
    "data_type_default_nullable",
    "describe_compact_output",
    "do_not_merge_across_partitions_select_final",
    "enable_analyzer",
    "enable_named_columns_in_function_tuple",
    "extremes",
    "final",
    "force_index_by_date",
    "force_primary_key",
    "group_by_use_nulls",
    "join_algorithm",
    "join_use_nulls",
    "limit",
    "offset",
    "optimize_aggregation_in_order",
    "optimize_move_to_prewhere",
    "optimize_read_in_order",
    "optimize_use_projections",
    "describe_include_subcolumns", // the `clickhouse` crate asks for the columns it validates
    "prefer_column_name_to_alias",
    "read_in_order_use_buffering",
    "readonly",
    "rows_before_aggregation",
    "select_sequential_consistency",
    "session_timezone",
    "transform_null_in",
    "union_default_mode",
    "use_query_cache",
    "use_query_condition_cache",
    // data definition and repair
    "alter_sync",
    "database_atomic_wait_for_drop_and_detach_synchronously",
    "distributed_ddl_task_timeout",
    "allow_suspicious_low_cardinality_types",
    "allow_nondeterministic_mutations",
    "lightweight_deletes_sync",
    "materialize_ttl_after_modify",
    "max_partition_size_to_drop",
    "max_table_size_to_drop",
    "mutations_sync",
    "optimize_skip_merged_partitions",
    "optimize_throw_if_noop",
    // who asks, and how they are logged
    "log_comment",
    "log_profile_events",
    "log_queries",
    "log_query_settings",
    "send_logs_level",
    // the transport, accepted because clients always send them; the front has its own
    "add_http_cors_header",
    "cancel_http_readonly_queries_on_client_close",
    "connect_timeout",
    "http_connection_timeout",
    "http_headers_progress_interval_ms",
    "http_max_chunk_size",
    "http_receive_timeout",
    "http_response_buffer_size",
    "http_send_timeout",
    "http_wait_end_of_query",
    "http_write_exception_in_output_format",
    "http_zlib_compression_level",
    "network_compression_method",
    "receive_timeout",
    "send_progress_in_http_headers",
    "send_timeout",
];

/// How data is read and written: all settings with these prefixes, except those that name a file or a schema registry.
const ALLOWED_PREFIXES: &[&str] = &["input_format_", "output_format_", "format_", "date_time_", "json_type_"];
const FORBIDDEN_PREFIXES: &[&str] = &["format_schema", "format_avro_schema_registry", "format_template"];

/// The list, limited to the names that the running engine knows.
pub struct Whitelist {
    known: HashSet<String>,
}

impl Whitelist {
    /// `known` are the names (and aliases) in the engine's `system.settings`.
    pub fn new(known: impl IntoIterator<Item = String>) -> Self {
        Self {
            known: known.into_iter().collect(),
        }
    }

    /// Refuses what a client may not set.
    pub fn check(&self, name: &str) -> Result<(), Exception> {
        if !self.known.contains(name) {
            return Err(Exception::new(
                Code::UNKNOWN_SETTING,
                format!("Unknown setting '{name}'"),
            ));
        }
        if allowed(name) {
            return Ok(());
        }
        let reason = format!(
            "Setting {name} should not be changed: it is not among those that this engine's HTTP interface \
             allows"
        );
        Err(Exception::new(Code::SETTING_CONSTRAINT_VIOLATION, reason))
    }
}

fn allowed(name: &str) -> bool {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    ALLOWED.contains(&name) || (starts(ALLOWED_PREFIXES) && !starts(FORBIDDEN_PREFIXES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_forbidden_settings_have_codes_of_their_own() {
        let whitelist = Whitelist::new(["max_threads", "s3_max_connections", "format_schema"].map(str::to_owned));
        assert_eq!(whitelist.check("max_threads"), Ok(()));
        assert_eq!(whitelist.check("max_treads").unwrap_err().code(), 115);
        assert_eq!(whitelist.check("s3_max_connections").unwrap_err().code(), 452);
        assert_eq!(whitelist.check("format_schema").unwrap_err().code(), 452);
    }
}
