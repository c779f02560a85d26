package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// tokens asks a Workload API for a JWT-SVID again and again, and keeps the last in a file for whoever brings it, until SIGTERM.
// Then it says how many there were: an agent gives the same one for half of its life.
func tokens(arguments []string) error {
	flags := flag.NewFlagSet("tokens", flag.ExitOnError)
	socket := flags.String("socket", "", "the Workload API")
	audience := flags.String("audience", "", "for whom they are")
	into := flags.String("into", "", "the file")
	every := flags.Duration("every", time.Second, "pause between two questions")
	_ = flags.Parse(arguments)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	client, err := workloadapi.New(ctx, workloadapi.WithAddr("unix://"+*socket))
	if err != nil {
		return err
	}
	defer client.Close()
	count, last := 0, ""
	for ctx.Err() == nil {
		svid, err := client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: *audience})
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		if token := svid.Marshal(); token != last {
			count, last = count+1, token
			if err := replace(*into, token); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(*every):
		}
	}
	say(map[string]int{"tokens": count})
	return nil
}

// replace writes a file so that nobody reads half of it.
func replace(path, content string) error {
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
