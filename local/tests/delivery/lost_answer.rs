//! An engine that remembers a deduplication token without its rows: it died, or lost power, between storing the two.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::bed::Bed;
use crate::flow::Flow;

/// What the address of an insert of raw samples contains.
const INSERT: &[u8] = b"into+metrics+%28";

/// A proxy of the engine. It withholds the answer to the first insert of raw samples, and does a deed instead, during
/// which it lets nothing through: on a busy machine the deed may take longer than clients wait for an answer.
struct Proxy {
    engine: String,
    deed: Box<dyn Fn() + Send + Sync>,
    is_done: Mutex<bool>,
}

impl Proxy {
    /// The address of a proxy in front of `engine`, which lives as long as the process.
    fn start(engine: &str, deed: impl Fn() + Send + Sync + 'static) -> (String, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let proxy = Arc::new(Self {
            engine: engine.trim_start_matches("http://").to_owned(),
            deed: Box::new(deed),
            is_done: Mutex::new(false),
        });
        let accepting = Arc::clone(&proxy);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let proxy = Arc::clone(&accepting);
                std::thread::spawn(move || proxy.serve(client));
            }
        });
        (url, proxy)
    }

    /// Forwards one connection in both directions; ends it where the answer is withheld.
    fn serve(self: Arc<Self>, client: TcpStream) {
        let Ok(engine) = TcpStream::connect(&self.engine) else {
            return;
        };
        let (mut from_client, mut to_engine) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
        let inserts = Arc::new(AtomicBool::new(false));
        let (seen, proxy) = (Arc::clone(&inserts), Arc::clone(&self));
        std::thread::spawn(move || {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(read @ 1..) = from_client.read(&mut bytes) {
                if bytes[..read].windows(INSERT.len()).any(|window| window == INSERT) {
                    seen.store(true, Ordering::SeqCst);
                }
                drop(proxy.is_done.lock());
                if to_engine.write_all(&bytes[..read]).is_err() {
                    break;
                }
            }
            drop(to_engine.shutdown(Shutdown::Write));
        });
        let (mut from_engine, mut to_client) = (engine, client);
        let mut bytes = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from_engine.read(&mut bytes) {
            if inserts.load(Ordering::SeqCst) && self.does_the_deed() {
                break;
            }
            if to_client.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        drop(to_client.shutdown(Shutdown::Both));
        drop(from_engine.shutdown(Shutdown::Both));
    }

    /// Does the deed; false if it was done before.
    fn does_the_deed(&self) -> bool {
        let mut is_done = self.is_done.lock().unwrap();
        if *is_done {
            return false;
        }
        (self.deed)();
        *is_done = true;
        true
    }
}

#[test]
fn rows_that_are_gone_under_a_known_token_are_inserted_again() {
    let bed = Bed::shared();
    let flow = Flow::new(bed, "known-token", 1);
    let topic = flow.topic.clone();
    let (url, proxy) = Proxy::start(&bed.layout().clickhouse_url(), move || {
        bed.execute(&format!("delete from metrics where kafka_topic = '{topic}'"));
    });
    let _stages = [
        flow.ingest(&[("HOROLOG_INGEST__CLICKHOUSE__URL", &url)]),
        flow.aggregate(&[]),
    ];
    flow.produce(500);
    flow.wait_until_stored();
    assert!(*proxy.is_done.lock().unwrap(), "an answer was kept");
    flow.assert_exactly_once();
}
