//! The ports of a local stack: all on loopback, each with the flag that changes it.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use clap::value_parser;

/// Where [`Ports::free`] looks.
const FREE_PORTS: RangeInclusive<u16> = 15_000..=30_000;
/// How many of them it tries before it gives up.
const FREE_PORT_ATTEMPTS: u32 = 100;

/// One port for each thing that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Ports {
    /// Port of the broker.
    #[arg(long = "port-kafka", value_name = "PORT", default_value_t = 9092, value_parser = value_parser!(u16).range(1..))]
    pub kafka: u16,
    /// Port of the broker's controller.
    #[arg(long = "port-kafka-controller", value_name = "PORT", default_value_t = 9093, value_parser = value_parser!(u16).range(1..))]
    pub kafka_controller: u16,
    /// Port of ClickHouse's HTTP interface.
    #[arg(long = "port-clickhouse", value_name = "PORT", default_value_t = 8123, value_parser = value_parser!(u16).range(1..))]
    pub clickhouse: u16,
    /// Port of the query API.
    #[arg(long = "port-query", value_name = "PORT", default_value_t = 8080, value_parser = value_parser!(u16).range(1..))]
    pub query: u16,
    /// Port of the ingest stage's health and metrics.
    #[arg(long = "port-ingest", value_name = "PORT", default_value_t = 8081, value_parser = value_parser!(u16).range(1..))]
    pub ingest: u16,
    /// Port of the aggregate stage's health and metrics.
    #[arg(long = "port-aggregate", value_name = "PORT", default_value_t = 8082, value_parser = value_parser!(u16).range(1..))]
    pub aggregate: u16,
}

/// Why the ports cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Other processes listen there: the ports, with the flags that change them.
    #[error("taken by another process on 127.0.0.1: {}; choose others", taken(.0))]
    Taken(Vec<(&'static str, u16)>),
    /// Two things were given the same port.
    #[error("{first} and {second} are both {port}")]
    Twice {
        /// One flag.
        first: &'static str,
        /// The other flag.
        second: &'static str,
        /// The port.
        port: u16,
    },
    /// The port cannot be listened on for another reason.
    #[error("{flag} {port}: {reason}")]
    Refused {
        /// The flag that changes it.
        flag: &'static str,
        /// The port.
        port: u16,
        /// What the system said.
        reason: String,
    },
}

fn taken(ports: &[(&str, u16)]) -> String {
    let named: Vec<String> = ports.iter().map(|(flag, port)| format!("{flag} {port}")).collect();
    named.join(", ")
}

impl Ports {
    fn named(&self) -> [(&'static str, u16); 6] {
        [
            ("--port-kafka", self.kafka),
            ("--port-kafka-controller", self.kafka_controller),
            ("--port-clickhouse", self.clickhouse),
            ("--port-query", self.query),
            ("--port-ingest", self.ingest),
            ("--port-aggregate", self.aggregate),
        ]
    }

    /// Makes sure that all can be listened on. Another process may still take one afterwards; the log then says so.
    pub fn check(&self) -> Result<(), PortError> {
        let named = self.named();
        let mut taken = Vec::new();
        for (index, &(flag, port)) in named.iter().enumerate() {
            if let Some(&(first, _)) = named[..index].iter().find(|(_, other)| *other == port) {
                return Err(PortError::Twice {
                    first,
                    second: flag,
                    port,
                });
            }
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    taken.push((flag, port));
                }
                Err(error) => {
                    return Err(PortError::Refused {
                        flag,
                        port,
                        reason: error.to_string(),
                    });
                }
            }
        }
        if taken.is_empty() {
            Ok(())
        } else {
            Err(PortError::Taken(taken))
        }
    }

    /// Six ports that nobody listens on at this moment. They are below the system's range for outgoing connections, so
    /// that no such connection takes a port while its listener is being restarted. A process gives out no port twice
    /// before it has given out all: whoever is to listen on it may not have started yet.
    pub fn free() -> std::io::Result<Self> {
        // All are held until all are known, so that no two are the same.
        let held = (0..6)
            .map(|_| free_port())
            .collect::<std::io::Result<Vec<TcpListener>>>()?;
        let port = |index: usize| held[index].local_addr().map(|address| address.port());
        Ok(Self {
            kafka: port(0)?,
            kafka_controller: port(1)?,
            clickhouse: port(2)?,
            query: port(3)?,
            ingest: port(4)?,
            aggregate: port(5)?,
        })
    }
}

fn free_port() -> std::io::Result<TcpListener> {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random()));
    let ports = FREE_PORTS.end() - FREE_PORTS.start() + 1;
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    for _ in 0..FREE_PORT_ATTEMPTS {
        let port = FREE_PORTS.start() + NEXT.fetch_add(1, Ordering::Relaxed) % ports;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn no_free_port_is_given_twice() {
        let given: Vec<u16> = (0..20)
            .flat_map(|_| Ports::free().unwrap().named().map(|(_, port)| port))
            .collect();
        assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len());
    }

    #[test]
    fn all_taken_ports_are_named_with_their_flags() {
        let ports = Ports::free().unwrap();
        let taken = [("--port-kafka", ports.kafka), ("--port-query", ports.query)];
        let _held = taken.map(|(_, port)| eventually(|| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()));
        let refused = eventually(|| {
            let refused = ports.check().unwrap_err();
            (refused == PortError::Taken(taken.to_vec())).then_some(refused)
        });
        let named = format!(
            "--port-kafka {}, --port-query {}; choose others",
            ports.kafka, ports.query
        );
        assert!(refused.to_string().ends_with(&named), "{refused}");
    }

    /// Something that another test starts may for a moment hold a port that is tried here.
    fn eventually<T>(look: impl Fn() -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let is_over = Instant::now() >= end;
            if let Some(found) = look() {
                return found;
            }
            assert!(!is_over, "another process holds a port that was free");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_port_given_twice_is_refused() {
        let mut ports = Ports::free().unwrap();
        ports.ingest = ports.kafka;
        let expected = PortError::Twice {
            first: "--port-kafka",
            second: "--port-ingest",
            port: ports.kafka,
        };
        assert_eq!(ports.check(), Err(expected));
    }
}
