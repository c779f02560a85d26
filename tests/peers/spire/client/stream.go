package main

import (
	"context"
	"flag"
	"io"
	"net/http"
	"time"
)

// stream reads one long answer and says when it began and when and how it ended.
func stream(arguments []string) error {
	var who identity
	var what target
	flags := flag.NewFlagSet("stream", flag.ExitOnError)
	who.flags(flags)
	what.flags(flags)
	longest := flags.Duration("for", 10*time.Minute, "it ends by itself after that")
	_ = flags.Parse(arguments)
	ctx, cancel := context.WithTimeout(context.Background(), *longest)
	defer cancel()
	config, err := who.tls(ctx)
	if err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(what.protocol == "http1")
	protocols.SetHTTP2(what.protocol == "http2")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, Protocols: protocols}}
	request, err := what.request(ctx)
	if err != nil {
		return err
	}
	reply, err := client.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	say(event{Event: "begun", Status: reply.StatusCode, At: now()})
	count, err := io.Copy(io.Discard, reply.Body)
	say(event{Event: "ended", Status: reply.StatusCode, At: now(), Bytes: count, Error: text(err)})
	return nil
}

type event struct {
	Event  string  `json:"event"`
	Status int     `json:"status"`
	At     float64 `json:"at"`
	Bytes  int64   `json:"bytes"`
	Error  string  `json:"error"`
}

// now in seconds, as the suite counts them.
func now() float64 { return float64(time.Now().UnixMilli()) / 1000 }
