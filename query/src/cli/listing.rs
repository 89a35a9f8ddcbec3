//! Rows of an answer: a table for people, JSON lines for programs, and a word where the answer is not all there is.

use serde_json::Value;

use super::client::{Client, Parameters, Take};
use super::error::CliError;
use super::output::Output;
use super::table::{self, Column};

/// What is asked, and how it is shown.
#[derive(Debug)]
pub struct Listing<'a> {
    /// Where.
    pub path: &'a str,
    /// With what.
    pub asked: Parameters,
    /// How much of it.
    pub take: Take,
    /// What a table has of each row.
    pub columns: &'a [Column],
    /// What is said where there are no rows.
    pub nothing: &'a str,
}

impl Listing<'_> {
    /// Asks and shows.
    pub async fn show(&self, client: &Client, output: Output) -> Result<(), CliError> {
        let (mut rows, mut complete_through): (Vec<Value>, _) = (Vec::new(), None);
        let more = client
            .pages(self.path, &self.asked, self.take, |page| {
                complete_through = page.complete_through;
                for row in &page.rows {
                    if output.is_json() {
                        output.document(row.get())?;
                    } else {
                        rows.push(client.parsed(self.path, row.get())?);
                    }
                }
                Ok(())
            })
            .await?;
        if !output.is_json() {
            if rows.is_empty() {
                output.hint(self.nothing);
            } else {
                output.line(&table::of_rows(self.columns, &rows))?;
            }
            match complete_through {
                Some(None) => output.hint("not complete: not every partition has been heard of"),
                Some(Some(moment)) => output.hint(&format!("complete through {moment}")),
                None => {}
            }
        }
        if more {
            output.warn("there are more: raise --limit, or narrow the question");
        }
        Ok(())
    }
}
