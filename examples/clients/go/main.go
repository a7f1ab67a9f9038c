// SPDX-License-Identifier: BSD-2-Clause

// confluent-kafka-go, which links librdkafka statically: main BOOTSTRAP TOPIC PARTITIONS COUNT
//
// Prints PARTITION OFFSET of each message that the broker acknowledged, in that order.
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

func main() {
	topic := os.Args[2]
	partitions, _ := strconv.Atoi(os.Args[3])
	count, _ := strconv.Atoi(os.Args[4])
	producer, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": os.Args[1], "linger.ms": 5})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		for seen := 0; seen < count; {
			message, isMessage := (<-producer.Events()).(*kafka.Message)
			if !isMessage {
				continue
			}
			seen++
			if message.TopicPartition.Error != nil {
				fmt.Println("failed")
			} else {
				fmt.Println(message.TopicPartition.Partition, int64(message.TopicPartition.Offset))
			}
		}
		done <- true
	}()
	for n := 0; n < count; n++ {
		err := producer.Produce(&kafka.Message{
			TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: int32(n % partitions)},
			Value:          []byte(fmt.Sprint("message ", n)),
		}, nil)
		if err != nil {
			log.Fatal(err)
		}
	}
	<-done
	producer.Close()
}
