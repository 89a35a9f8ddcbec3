//! A run as a file: the options of `horolog-load run` by their long names, and settings for the stages of the stack.
//!
//! ```toml
//! rate = 50000
//! duration = "20s"
//! objective = ["stored:p99<=1s"]
//! [environment]
//! HOROLOG_INGEST__KAFKA__PROPERTIES = '{"fetch.queue.backoff.ms"="20"}'
//! ```

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use clap::Parser;
use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::Value;

use super::run::RunOptions;

const ENVIRONMENT: &str = "environment";

/// A run and the environment of its stack.
#[derive(Clone)]
pub(super) struct Configuration {
    pub options: RunOptions,
    pub environment: Vec<(String, String)>,
}

/// Uses the command line's parser.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Arguments {
    #[command(flatten)]
    run: RunOptions,
}

impl Configuration {
    /// Parses a configuration.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let values: BTreeMap<String, Value> = Figment::from(Toml::string(text)).extract()?;
        let (mut arguments, mut environment) = (Vec::new(), Vec::new());
        for (name, value) in values {
            match value {
                Value::Dict(_, settings) if name == ENVIRONMENT => {
                    for (name, value) in settings {
                        environment.push((name, plain(&value)?));
                    }
                }
                Value::Bool(_, false) => {}
                Value::Bool(_, true) => arguments.push(format!("--{name}")),
                Value::Array(_, values) => {
                    for value in &values {
                        arguments.push(format!("--{name}={}", plain(value)?));
                    }
                }
                value => arguments.push(format!("--{name}={}", plain(&value).context(name.clone())?)),
            }
        }
        let options = Arguments::try_parse_from(arguments)?.run;
        Ok(Self { options, environment })
    }
}

fn plain(value: &Value) -> anyhow::Result<String> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    if let Some(number) = value.to_i128() {
        return Ok(number.to_string());
    }
    match value.to_f64() {
        Some(number) => Ok(number.to_string()),
        None => bail!("neither a string nor a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_their_long_names() {
        let text = "rate = 500\nduration = '3s'\nobjective = ['stored:p99<=1s', 'query:max<=2s']\nbad = 0.25\n\
            keep = true\n[environment]\nA__B = 'c'\nN = 5\n";
        let configuration = Configuration::parse(text).unwrap();
        let options = &configuration.options;
        assert_eq!((options.plan.rate, options.plan.duration.as_secs()), (500.0, 3));
        assert_eq!((options.plan.objectives.len(), options.plan.mix.bad), (2, 0.25));
        assert!(options.target.keep);
        let expected = [("A__B", "c"), ("N", "5")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(configuration.environment, expected);
    }

    #[test]
    fn an_unknown_option_is_named() {
        let error = Configuration::parse("reate = 5\n").err().unwrap().to_string();
        assert!(error.contains("reate"), "{error}");
        assert!(Configuration::parse("rate = [[1]]\n").is_err());
    }
}
