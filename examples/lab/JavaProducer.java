// SPDX-License-Identifier: BSD-2-Clause
//
// Kafka's own Java producer, to hear in its words what happens to records that wait too long.
//     java -cp "$(examples/lab/broker classpath)" examples/lab/JavaProducer.java BOOTSTRAP TOPIC COUNT TIMEOUT_MS RATE [KEY=VALUE]…
// TIMEOUT_MS 0 leaves all timeouts as Kafka has them; KEY=VALUE sets any of the producer's settings.

import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class JavaProducer {
    public static void main(String[] args) throws InterruptedException {
        if (args.length < 5) {
            System.err.println("usage: JavaProducer BOOTSTRAP TOPIC COUNT TIMEOUT_MS RATE [KEY=VALUE]...");
            System.exit(2);
        }
        String topic = args[1];
        int count = Integer.parseInt(args[2]);
        int timeout = Integer.parseInt(args[3]);
        double rate = Double.parseDouble(args[4]);
        Map<String, Object> settings = settings(args[0], timeout);
        for (int i = 5; i < args.length; i++)
            settings.put(args[i].split("=", 2)[0], args[i].split("=", 2)[1]);
        Map<String, Integer> errors = new TreeMap<>();
        AtomicInteger acked = new AtomicInteger();
        AtomicLong slowest = new AtomicLong();

        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings)) {
            long begin = System.nanoTime();
            for (int seq = 1; seq <= count; seq++) {
                waitUntil(begin + (long) ((seq - 1) * 1e9 / rate));
                long sent = System.nanoTime();
                producer.send(new ProducerRecord<>(topic, Integer.toString(seq)), (metadata, error) -> {
                    if (error == null) {
                        acked.incrementAndGet();
                        slowest.accumulateAndGet(System.nanoTime() - sent, Math::max);
                    } else {
                        synchronized (errors) {     // send() itself reports some
                            errors.merge(error.toString(), 1, Integer::sum);
                        }
                    }
                });
            }
        }
        errors.forEach((error, times) -> System.out.println(times + " × " + error));
        int failed = errors.values().stream().mapToInt(Integer::intValue).sum();
        System.out.println("produced=" + count + " acked=" + acked + " failed=" + failed
                + " slowest_ms=" + slowest.get() / 1_000_000);
    }

    // delivery.timeout.ms must be at least linger.ms + request.timeout.ms.
    private static Map<String, Object> settings(String bootstrap, int timeout) {
        int linger = Math.min(5, timeout / 2);
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", bootstrap,
                "key.serializer", StringSerializer.class,
                "value.serializer", StringSerializer.class));

        if (timeout > 0)
            settings.putAll(Map.of("linger.ms", linger,
                    "request.timeout.ms", timeout - linger,
                    "delivery.timeout.ms", timeout,
                    "max.block.ms", timeout));
        return settings;
    }

    private static void waitUntil(long due) throws InterruptedException {
        long left = due - System.nanoTime();
        if (left > 0)
            Thread.sleep(left / 1_000_000, (int) (left % 1_000_000));
    }
}
