//! `horolog-query system`: progress of the stages, whether every record is accounted for, why records were
//! rejected, use of storage, configuration.

use clap::Subcommand;

use super::client::{Client, Take};
use super::error::CliError;
use super::listing::Listing;
use super::output::Output;
use super::table::{Column, number, text};

const PARTITIONS: [Column; 8] = [
    text("STAGE", "stage"),
    text("TOPIC", "topic"),
    number("PARTITION", "partition"),
    number("LOG EPOCH", "log_epoch"),
    number("STORED UP TO", "end_offset"),
    text("NEWEST RECORD", "last_record_at"),
    text("LAST BATCH", "last_batch_at"),
    number("BEHIND S", "behind_s"),
];
const ACCOUNTS: [Column; 12] = [
    text("STAGE", "stage"),
    text("TOPIC", "topic"),
    number("BATCHES", "batches"),
    number("RECOVERED", "recovered"),
    number("RECORDS", "records"),
    number("ROWS", "rows"),
    number("REJECTED", "rejected"),
    number("LATE", "late"),
    number("EXPIRED", "expired"),
    number("GAPS", "gaps"),
    number("LOST", "lost_offsets"),
    text("BALANCED", "balanced"),
];
const REASONS: [Column; 9] = [
    text("TOPIC", "topic"),
    text("STEP", "step"),
    text("REASON", "reason"),
    number("RECORDS", "records"),
    text("FIRST", "first_at"),
    text("NEWEST", "newest_at"),
    number("PARTITION", "newest_partition"),
    number("OFFSET", "newest_offset"),
    text("DETAIL", "newest_detail"),
];
const TABLES: [Column; 7] = [
    text("TABLE", "table"),
    text("DISK", "disk"),
    number("ROWS", "rows"),
    number("BYTES", "bytes"),
    number("UNCOMPRESSED", "uncompressed_bytes"),
    number("PARTS", "parts"),
    text("OLDEST", "oldest_partition"),
];
const SETTINGS: [Column; 3] = [
    text("SETTING", "setting"),
    text("VALUE", "value"),
    text("DEFAULT", "is_default"),
];

/// Commands for administrators.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum SystemCommand {
    /// Show how far each stage is with each partition
    Progress,
    /// Show whether every record is accounted for
    Ledger,
    /// Show why records were rejected
    Rejections,
    /// Show the use of storage
    Storage,
    /// Show the configuration of the service
    Configuration,
}

/// Runs a command.
pub async fn run(command: SystemCommand, client: &Client, output: Output) -> Result<(), CliError> {
    let (path, columns): (_, &[Column]) = match command {
        SystemCommand::Progress => ("/v1/system/progress", &PARTITIONS),
        SystemCommand::Ledger => ("/v1/system/ledger", &ACCOUNTS),
        SystemCommand::Rejections => ("/v1/system/rejections", &REASONS),
        SystemCommand::Storage => ("/v1/system/storage", &TABLES),
        SystemCommand::Configuration => ("/v1/system/configuration", &SETTINGS),
    };
    let listing = Listing {
        path,
        asked: Vec::new(),
        take: Take::Everything,
        columns,
        nothing: "nothing yet",
    };
    listing.show(&client.of_no_tenant(), output).await
}
