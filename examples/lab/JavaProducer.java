// SPDX-License-Identifier: BSD-2-Clause
//
// Kafka's own Java producer, to hear in its words what happens to records that wait too long.
//     java -cp "$(examples/lab/broker classpath)" examples/lab/JavaProducer.java BOOTSTRAP TOPIC COUNT TIMEOUT_MS RATE

import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class JavaProducer {
    public static void main(String[] args) throws InterruptedException {
        if (args.length != 5) {
            System.err.println("usage: JavaProducer BOOTSTRAP TOPIC COUNT TIMEOUT_MS RATE");
            System.exit(2);
        }
        String topic = args[1];
        int count = Integer.parseInt(args[2]);
        int timeout = Integer.parseInt(args[3]);
        double rate = Double.parseDouble(args[4]);
        Map<String, Integer> errors = new TreeMap<>();
        AtomicInteger acked = new AtomicInteger();

        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings(args[0], timeout))) {
            long begin = System.nanoTime();
            for (int seq = 1; seq <= count; seq++) {
                waitUntil(begin + (long) ((seq - 1) * 1e9 / rate));
                producer.send(new ProducerRecord<>(topic, Integer.toString(seq)), (metadata, error) -> {
                    if (error == null)
                        acked.incrementAndGet();
                    else
                        errors.merge(error.toString(), 1, Integer::sum);
                });
            }
        }
        errors.forEach((error, times) -> System.out.println(times + " × " + error));
        int failed = errors.values().stream().mapToInt(Integer::intValue).sum();
        System.out.println("produced=" + count + " acked=" + acked + " failed=" + failed);
    }

    // delivery.timeout.ms must be at least linger.ms + request.timeout.ms.
    private static Map<String, Object> settings(String bootstrap, int timeout) {
        int linger = Math.min(5, timeout / 2);
        return Map.of("bootstrap.servers", bootstrap,
                "key.serializer", StringSerializer.class,
                "value.serializer", StringSerializer.class,
                "linger.ms", linger,
                "request.timeout.ms", timeout - linger,
                "delivery.timeout.ms", timeout,
                "max.block.ms", timeout);
    }

    private static void waitUntil(long due) throws InterruptedException {
        long left = due - System.nanoTime();
        if (left > 0)
            Thread.sleep(left / 1_000_000, (int) (left % 1_000_000));
    }
}
