// SPDX-License-Identifier: BSD-2-Clause

// franz-go, pure Go, out of a preload's reach: pure BOOTSTRAP TOPIC PARTITIONS COUNT
//
// Prints PARTITION OFFSET of each message that the broker acknowledged, in that order.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	partitions, _ := strconv.Atoi(os.Args[3])
	count, _ := strconv.Atoi(os.Args[4])
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	delivered := func(record *kgo.Record, err error) {
		if err != nil {
			fmt.Println("failed")
		} else {
			fmt.Println(record.Partition, record.Offset)
		}
	}
	for n := 0; n < count; n++ {
		record := kgo.Record{Topic: os.Args[2], Partition: int32(n % partitions), Value: []byte(fmt.Sprint("message ", n))}
		client.Produce(context.Background(), &record, delivered)
	}
	if err := client.Flush(context.Background()); err != nil {
		log.Fatal(err)
	}
}
