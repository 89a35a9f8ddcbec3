//! `horolog-query whoami`: who the caller is to the service, and what they may do.

use serde_json::Value;

use super::client::Client;
use super::error::CliError;
use super::output::Output;
use super::table;

const PATH: &str = "/v1/whoami";
/// Members of the answer, in the order in which they are shown.
const FIELDS: [&str; 7] = [
    "name",
    "role",
    "tenant",
    "teams",
    "permissions",
    "requests_per_hour",
    "limits",
];

/// Does it.
pub async fn run(client: &Client, output: Output) -> Result<(), CliError> {
    let client = client.of_no_tenant();
    let answer = client.text(PATH, &[]).await?;
    if output.is_json() {
        return output.document(&answer);
    }
    let known: Value = client.parsed(PATH, &answer)?;
    output.line(&table::of_members(&known, &FIELDS))
}
