// SPDX-License-Identifier: BSD-2-Clause
// @confluentinc/kafka-javascript: confluent.js BOOTSTRAP TOPIC PARTITIONS COUNT
// Prints PARTITION OFFSET of the first message of each batch of sends that was acknowledged, as this client reports it.
'use strict';
const { Kafka } = require('@confluentinc/kafka-javascript').KafkaJS;
const [bootstrap, topic, partitions, count] = process.argv.slice(2);

async function main() {
  const kafka = new Kafka({ kafkaJS: { brokers: [bootstrap], logLevel: 1 } });
  const producer = kafka.producer({ 'linger.ms': 5 });
  await producer.connect();
  const sent = [];
  for (let n = 0; n < Number(count); n += 1) {
    sent.push(producer.send({
      topic, messages: [{ value: `message ${n}`, partition: n % Number(partitions) }],
    }));
  }
  for (const reports of await Promise.all(sent)) {
    for (const report of reports) console.log(report.partition, report.baseOffset);
  }
  await producer.disconnect();
}

main();
