// SPDX-License-Identifier: BSD-2-Clause
//
// What an operator of a cluster does, said on standard input, a line each; each is answered by "ok …" or "error …".
//     java -cp "$(examples/lab/broker classpath)" examples/lab/Admin.java BOOTSTRAP
//
//     topic NAME 1,2;1 KEY=VALUE…      a topic: for each partition its replicas, the first of them to lead
//     leader NAME PARTITION            which broker leads it, and who is in sync
//     move NAME PARTITION 2,1          other replicas, or another first one, and that one leads
//     dirs NAME                        the log directories of its partitions
//     broker KEY=VALUE…                settings of all brokers that may change while they run
//     quota CLIENT_ID BYTES_PER_S      0: none
//     config TOPIC KEY=VALUE…          settings of a topic
//     only NODE KEY=VALUE…             the same of one broker; %20 is a space
//     brokers                          how many are up

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;

public class Admin {
    private static org.apache.kafka.clients.admin.Admin admin;

    public static void main(String[] args) throws Exception {
        Properties at = new Properties();
        at.put("bootstrap.servers", args[0]);
        at.put("client.id", "lab-admin");
        admin = org.apache.kafka.clients.admin.Admin.create(at);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; )
            try {
                System.out.println("ok " + obey(line.trim().split(" +")));
            } catch (Exception e) {
                System.out.println("error " + (e.getCause() == null ? e : e.getCause()));
            }
    }

    private static Object obey(String[] w) throws Exception {
        switch (w[0]) {
            case "topic": return topic(w);
            case "leader": return leader(partition(w));
            case "move": return move(partition(w), numbers(w[3]));
            case "dirs": return dirs(w[1]);
            case "broker": return admin.incrementalAlterConfigs(Map.of(
                    new ConfigResource(ConfigResource.Type.BROKER, ""), ops(w, 1))).all().get();
            case "only": return admin.incrementalAlterConfigs(Map.of(
                    new ConfigResource(ConfigResource.Type.BROKER, w[1]), ops(w, 2))).all().get();
            case "config": return admin.incrementalAlterConfigs(Map.of(
                    new ConfigResource(ConfigResource.Type.TOPIC, w[1]), ops(w, 2))).all().get();
            case "quota": return admin.alterClientQuotas(List.of(new ClientQuotaAlteration(
                    new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, w[1])),
                    List.of(new ClientQuotaAlteration.Op("producer_byte_rate",
                            w[2].equals("0") ? null : Double.valueOf(w[2])))))).all().get();
            case "brokers": return admin.describeCluster().nodes().get().size();
            default: throw new IllegalArgumentException(w[0]);
        }
    }

    private static TopicPartition partition(String[] w) {
        return new TopicPartition(w[1], Integer.parseInt(w[2]));
    }

    private static List<Integer> numbers(String text) {
        return Stream.of(text.split(",")).map(Integer::valueOf).collect(Collectors.toList());
    }

    private static Map<String, String> pairs(String[] w, int from) {
        Map<String, String> pairs = new HashMap<>();
        for (int i = from; i < w.length; i++)
            pairs.put(w[i].split("=", 2)[0], w[i].split("=", 2)[1].replace("%20", " "));
        return pairs;
    }

    private static List<AlterConfigOp> ops(String[] w, int from) {
        List<AlterConfigOp> ops = new ArrayList<>();
        pairs(w, from).forEach((key, value) ->
                ops.add(new AlterConfigOp(new ConfigEntry(key, value), AlterConfigOp.OpType.SET)));
        return ops;
    }

    private static Object topic(String[] w) throws Exception {
        Map<Integer, List<Integer>> replicas = new HashMap<>();
        for (String partition : w[2].split(";"))
            replicas.put(replicas.size(), numbers(partition));
        admin.createTopics(List.of(new NewTopic(w[1], replicas).configs(pairs(w, 3)))).all().get();
        // There for everybody once each partition has its leader.
        for (int p = 0; p < replicas.size(); p++)
            until(new TopicPartition(w[1], p), replicas.get(p).get(0));
        return replicas.size();
    }

    private static TopicPartitionInfo info(TopicPartition p) throws Exception {
        return admin.describeTopics(Set.of(p.topic())).allTopicNames().get().get(p.topic()).partitions().get(p.partition());
    }

    private static Object leader(TopicPartition p) throws Exception {
        TopicPartitionInfo i = info(p);
        return (i.leader() == null ? -1 : i.leader().id()) + " "
                + i.isr().stream().map(n -> "" + n.id()).collect(Collectors.joining(","));
    }

    private static void until(TopicPartition p, int leader) throws Exception {
        for (int tries = 0; tries < 300; tries++) {
            try {
                TopicPartitionInfo i = info(p);
                if (i.leader() != null && i.leader().id() == leader)
                    return;
            } catch (Exception e) { // not told to this broker yet
            }
            Thread.sleep(50);
        }
        throw new IllegalStateException(p + " is not led by " + leader);
    }

    private static Object move(TopicPartition p, List<Integer> replicas) throws Exception {
        admin.alterPartitionReassignments(Map.of(p, Optional.of(new NewPartitionReassignment(replicas)))).all().get();
        for (int tries = 0; tries < 200 && !admin.listPartitionReassignments(Set.of(p)).reassignments().get().isEmpty(); tries++)
            Thread.sleep(20);
        try {
            admin.electLeaders(ElectionType.PREFERRED, Set.of(p)).all().get();
        } catch (Exception e) {
            if (!(e.getCause() instanceof ElectionNotNeededException))
                throw e;
        }
        until(p, replicas.get(0));
        return leader(p);
    }

    private static Object dirs(String topic) throws Exception {
        List<String> found = new ArrayList<>();
        for (var node : admin.describeCluster().nodes().get())
            admin.describeLogDirs(Set.of(node.id())).allDescriptions().get().get(node.id()).forEach((dir, what) ->
                    what.replicaInfos().keySet().stream().filter(p -> p.topic().equals(topic))
                            .forEach(p -> found.add(node.id() + ":" + p.partition() + ":" + dir)));
        return String.join(" ", found);
    }
}
