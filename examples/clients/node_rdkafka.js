// SPDX-License-Identifier: BSD-2-Clause
// node-rdkafka: node_rdkafka.js BOOTSTRAP TOPIC PARTITIONS COUNT
// Prints PARTITION OFFSET of each message that the broker acknowledged, in that order.
'use strict';
const Kafka = require('node-rdkafka');
const [bootstrap, topic, partitions, count] = process.argv.slice(2);

const producer = new Kafka.Producer({ 'metadata.broker.list': bootstrap, 'linger.ms': 5, dr_cb: true });
let left = Number(count);
producer.setPollInterval(10);
producer.on('delivery-report', (error, report) => {
  console.log(error ? 'failed' : `${report.partition} ${report.offset}`);
  left -= 1;
  if (left === 0) producer.disconnect();
});
producer.on('event.error', (error) => console.error(error.message));
producer.on('ready', () => {
  for (let n = 0; n < Number(count); n += 1) {
    producer.produce(topic, n % Number(partitions), Buffer.from(`message ${n}`));
  }
});
producer.connect();
