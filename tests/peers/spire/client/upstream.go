package main

import (
	"flag"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// upstream answers HTTP/1.1, HTTP/2 and gRPC in plain text and counts what reaches it. `/count` says how many that were, and
// `/slow` sends a line every 100 ms until it is cut.
func upstream(arguments []string) error {
	flags := flag.NewFlagSet("upstream", flag.ExitOnError)
	address := flags.String("address", "", "HOST:PORT")
	_ = flags.Parse(arguments)
	var count atomic.Int64
	calls := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(calls, health.NewServer())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Addr: *address, Protocols: protocols, Handler: http.HandlerFunc(
		func(writer http.ResponseWriter, request *http.Request) {
			if request.URL.Path == "/count" {
				fmt.Fprintln(writer, count.Load())
				return
			}
			count.Add(1)
			switch {
			case strings.HasPrefix(request.Header.Get("content-type"), "application/grpc"):
				calls.ServeHTTP(writer, request)
			case request.URL.Path == "/slow":
				drip(writer, request)
			default:
				fmt.Fprintln(writer, "ok")
			}
		})}
	return server.ListenAndServe()
}

func drip(writer http.ResponseWriter, request *http.Request) {
	flusher := http.NewResponseController(writer)
	for request.Context().Err() == nil {
		if _, err := fmt.Fprintln(writer, "drop"); err != nil || flusher.Flush() != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}
