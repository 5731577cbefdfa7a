// Command grpc-go calls one method of an xDS target again and again, as lines on its standard input say, and prints who
// answered: the proxyless client of grpc-go.test.ts. A line is `<header>=<value>` or empty; the answer is one line.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	_ "google.golang.org/grpc/xds"
)

// raw carries bytes as they are: the test's service has no messages.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (raw) Name() string { return "proto" }

var _ encoding.Codec = raw{}

func main() {
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if name, value, found := strings.Cut(lines.Text(), "="); found {
			ctx = metadata.AppendToOutgoingContext(ctx, name, value)
		}
		var request, answer []byte
		err := connection.Invoke(ctx, "/test.Echo/WhoAreYou", &request, &answer, grpc.ForceCodec(raw{}))
		cancel()
		if err != nil {
			fmt.Printf("error: %v\n", err)
			continue
		}
		fmt.Println(string(answer))
	}
}
