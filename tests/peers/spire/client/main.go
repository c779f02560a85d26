// A SPIFFE workload on both sides of a gateway: a client with its identity from a Workload API (or from files, for what no
// Workload API would hand out) or with a token of somebody else, and an upstream that counts what reaches it. And very many
// authorities.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fail("spire-client ask|load|stream|tokens|upstream|authorities [flags]")
	}
	roles := map[string]func([]string) error{
		"ask": ask, "load": load, "stream": stream, "tokens": tokens, "upstream": upstream,
		"authorities": authorities,
	}
	role, known := roles[os.Args[1]]
	if !known {
		fail("there is no role `%s`", os.Args[1])
	}
	if err := role(os.Args[2:]); err != nil {
		fail("%v", err)
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}

// say writes one line of JSON, for the suite.
func say(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		fail("%v", err)
	}
	fmt.Println(string(line))
}
