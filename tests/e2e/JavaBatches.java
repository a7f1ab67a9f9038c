// SPDX-License-Identifier: BSD-2-Clause
//
// Kafka's own Java producer, whose requests carry a batch for each partition, by topic id (Produce v13).
//     java -cp "$(examples/lab/broker classpath)" tests/e2e/JavaBatches.java BOOTSTRAP TOPIC PARTITIONS ROUNDS
// Says "ready" when it is connected, goes on with a line of its input, says "done", and ends with the next.

import java.util.Map;
import java.util.Scanner;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class JavaBatches {
    public static void main(String[] args) {
        int partitions = Integer.parseInt(args[2]), rounds = Integer.parseInt(args[3]);
        Scanner in = new Scanner(System.in);

        try (KafkaProducer<String, String> producer = new KafkaProducer<>(Map.of(
                "bootstrap.servers", args[0], "client.id", "java-half", "linger.ms", 50, "acks", "all",
                "key.serializer", StringSerializer.class, "value.serializer", StringSerializer.class))) {
            round(producer, args[1], partitions, 0);
            System.out.println("ready");
            in.nextLine();
            for (int n = 1; n <= rounds; n++)
                round(producer, args[1], partitions, n);
            System.out.println("done");
            in.nextLine();
        }
    }

    private static void round(KafkaProducer<String, String> producer, String topic, int partitions, int n) {
        for (int i = 0; i < 5 * partitions; i++)
            producer.send(new ProducerRecord<>(topic, i % partitions, null, "round " + n + " message " + i));
        producer.flush();
    }
}
