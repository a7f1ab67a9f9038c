// SPDX-License-Identifier: BSD-2-Clause
//! rdkafka, which links librdkafka statically: client BOOTSTRAP TOPIC PARTITIONS COUNT
//!
//! Prints PARTITION OFFSET of each message that the broker acknowledged, in that order.
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use std::time::Duration;

struct Delivered;

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        match result {
            Ok(message) => println!("{} {}", message.partition(), message.offset()),
            Err(_) => println!("failed"),
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (partitions, count): (i32, i32) = (args[3].parse().unwrap(), args[4].parse().unwrap());
    let producer: ThreadedProducer<Delivered> = ClientConfig::new()
        .set("bootstrap.servers", &args[1])
        .set("linger.ms", "5")
        .create_with_context(Delivered)
        .unwrap();
    for n in 0..count {
        let payload = format!("message {n}");
        let record = BaseRecord::<(), String>::to(&args[2]).payload(&payload).partition(n % partitions);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}
