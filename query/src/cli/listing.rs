//! Rows of an answer: a table for people, JSON lines for programs, and a warning if the answer is not complete.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::audit::EVENTS_PATH;
use super::client::{Client, Parameters, Take};
use super::error::CliError;
use super::output::Output;
use super::table::{self, Column};

/// A row. A member nested more deeply than the JSON parser supports is kept as text, so that it does not hide the
/// others.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Row(#[serde(deserialize_with = "members")] pub Value);

fn members<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let members = BTreeMap::<String, Box<RawValue>>::deserialize(deserializer)?;
    let read =
        |raw: Box<RawValue>| serde_json::from_str(raw.get()).unwrap_or_else(|_| Value::String(raw.get().to_owned()));
    Ok(Value::Object(
        members.into_iter().map(|(name, raw)| (name, read(raw))).collect(),
    ))
}

/// A request for rows, and how to show them.
#[derive(Debug)]
pub struct Listing<'a> {
    /// Path of the request.
    pub path: &'a str,
    /// Parameters of the request.
    pub asked: Parameters,
    /// How many rows to take.
    pub take: Take,
    /// Columns of the table.
    pub columns: &'a [Column],
    /// The message if there are no rows.
    pub nothing: &'a str,
}

/// The answer.
struct Read {
    rows: Vec<Value>,
    /// Through when all of it is complete, if that is stated.
    complete_through: Option<Option<String>>,
    /// Whether there are more rows.
    more: bool,
}

impl Listing<'_> {
    /// Sends the request and shows the rows.
    pub async fn show(&self, client: &Client, output: Output) -> Result<(), CliError> {
        self.show_of(None, client, output).await
    }

    /// Likewise; `span` says of what time the rows are, if nobody asked for just that.
    pub async fn show_of(&self, span: Option<&str>, client: &Client, output: Output) -> Result<(), CliError> {
        let Read {
            rows,
            complete_through,
            more,
        } = self.read(client, output).await?;
        if !output.is_json() {
            if rows.is_empty() {
                output.note(self.nothing);
            } else {
                output.line(&table::of_rows(self.columns, &rows))?;
                if let Some(span) = span {
                    output.hint(span);
                }
            }
            match complete_through {
                // Events may still come of any time, so their answer never names one.
                Some(None) if self.path == EVENTS_PATH => {}
                Some(None) => output.hint("not complete: some partitions have not been heard from"),
                Some(Some(moment)) => output.hint(&format!("complete through {moment}")),
                None => {}
            }
        }
        if more {
            output.warn(match self.take {
                Take::Everything => "there are more, which the service does not list",
                _ => "there are more: raise --limit, or narrow the request",
            });
        }
        Ok(())
    }

    /// Sends the request; JSON rows are printed as they arrive, and not kept.
    async fn read(&self, client: &Client, output: Output) -> Result<Read, CliError> {
        let (mut rows, mut complete_through) = (Vec::new(), None);
        let more = client
            .pages(self.path, &self.asked, self.take, |page| {
                // Later pages are of later times, and may be complete through more than the rows before them.
                complete_through = complete_through.take().or(page.complete_through);
                for row in &page.rows {
                    if output.is_json() {
                        output.document(row.get())?;
                    } else {
                        let Row(row) = client.parsed(self.path, row.get())?;
                        rows.push(row);
                    }
                }
                Ok(())
            })
            .await?;
        Ok(Read {
            rows,
            complete_through,
            more,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::tests::service;
    use crate::cli::table::text;

    #[tokio::test]
    async fn pages_are_complete_through_when_the_first_of_them_is() {
        for (first, expected) in [(r#""t1""#, Some("t1")), ("null", None)] {
            let pages = [
                format!(r#"{{"rows": [{{"n": 1}}], "complete_through": {first}, "next_cursor": "c"}}"#),
                r#"{"rows": [{"n": 2}], "complete_through": "t2"}"#.to_owned(),
            ];
            let answers = pages.map(|page| format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{page}"));
            let (client, _) = service(&answers).await;
            let listing = Listing {
                path: "/v1/x",
                asked: Vec::new(),
                take: Take::Pages(10),
                columns: &[text("N", "n")],
                nothing: "nothing",
            };
            let read = listing.read(&client, Output::new(false)).await.unwrap();
            assert_eq!((read.rows.len(), read.more), (2, false));
            assert_eq!(read.complete_through.unwrap().as_deref(), expected);
        }
    }

    #[test]
    fn a_member_of_any_depth_hides_no_other() {
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        let Row(row) = serde_json::from_str(&format!(r#"{{"action":"a","old_value":{deep},"n":[1]}}"#)).unwrap();
        assert_eq!((&row["action"], &row["n"][0]), (&Value::from("a"), &Value::from(1)));
        assert_eq!(row["old_value"], Value::from(deep));
    }
}
