package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const patience = 10 * time.Second

// caller sends one request; the outcome is a status ("200", or a gRPC code by name), or why there is none.
type caller func(context.Context) (outcome string, err error)

// target is what is asked, and how.
type target struct {
	address, from, method, path, protocol, bearer string
	fresh                                         bool
}

func (what *target) flags(flags *flag.FlagSet) {
	flags.StringVar(&what.address, "address", "", "HOST:PORT")
	flags.StringVar(&what.from, "from", "", "ADDRESS:PORT that its connection comes from")
	flags.StringVar(&what.method, "method", http.MethodGet, "")
	flags.StringVar(&what.path, "path", "/", "")
	flags.StringVar(&what.protocol, "protocol", "http1", "http1, http2 or grpc")
	flags.StringVar(&what.bearer, "bearer", "", "a file with the token to show, read for each request")
	flags.BoolVar(&what.fresh, "fresh", false, "a connection for each request")
}

// authorization is what each request says in its header of that name: nothing without a token.
func (what *target) authorization() (string, error) {
	if what.bearer == "" {
		return "", nil
	}
	token, err := os.ReadFile(what.bearer)
	if err != nil {
		return "", err
	}
	return "Bearer " + strings.TrimSpace(string(token)), nil
}

// request is one over HTTP.
func (what *target) request(ctx context.Context) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, what.method, "https://"+what.address+what.path, nil)
	if err != nil {
		return nil, err
	}
	authorization, err := what.authorization()
	if authorization != "" {
		request.Header.Set("authorization", authorization)
	}
	return request, err
}

func (what *target) caller(config *tls.Config) (caller, error) {
	switch what.protocol {
	case "http1", "http2":
		return what.http(config), nil
	case "grpc":
		return what.grpc(config)
	}
	return nil, fmt.Errorf("there is no protocol `%s`", what.protocol)
}

// dial is from where the suite wants it, so that it knows the connection again.
func (what *target) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	if what.from != "" {
		from, err := net.ResolveTCPAddr("tcp", what.from)
		if err != nil {
			return nil, err
		}
		dialer.LocalAddr = from
	}
	return dialer.DialContext(ctx, network, address)
}

func (what *target) http(config *tls.Config) caller {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(what.protocol == "http1")
	protocols.SetHTTP2(what.protocol == "http2")
	client := &http.Client{
		Transport: &http.Transport{
			DialContext: what.dial, TLSClientConfig: config, Protocols: protocols, DisableKeepAlives: what.fresh,
		},
		Timeout: patience,
	}
	return func(ctx context.Context) (string, error) {
		request, err := what.request(ctx)
		if err != nil {
			return "", err
		}
		answer, err := client.Do(request)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return "", fmt.Errorf("body: %w", err)
		}
		if want := map[string]int{"http1": 1, "http2": 2}[what.protocol]; answer.ProtoMajor != want {
			return "", fmt.Errorf("spoke %s", answer.Proto)
		}
		return fmt.Sprint(answer.StatusCode), nil
	}
}

func (what *target) grpc(config *tls.Config) (caller, error) {
	connection, err := grpc.NewClient("passthrough:///"+what.address,
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return what.dial(ctx, "tcp", address)
		}))
	if err != nil {
		return nil, err
	}
	client := grpc_health_v1.NewHealthClient(connection)
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		authorization, err := what.authorization()
		if err != nil {
			return "", err
		}
		if authorization != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", authorization)
		}
		_, err = client.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		code := status.Code(err).String()
		// A connection that is closed has this code, too; one that was refused says so.
		if code == "Unavailable" || code == "DeadlineExceeded" {
			return "", err
		}
		return code, nil
	}, nil
}

// ask sends one request and says what came.
func ask(arguments []string) error {
	var who identity
	var what target
	flags := flag.NewFlagSet("ask", flag.ExitOnError)
	who.flags(flags)
	what.flags(flags)
	_ = flags.Parse(arguments) // ends the program by itself
	ctx := context.Background()
	config, err := who.tls(ctx)
	if err != nil {
		return err
	}
	call, err := what.caller(config)
	if err != nil {
		return err
	}
	outcome, err := call(ctx)
	say(answer{Outcome: outcome, Error: text(err)})
	return nil
}

type answer struct {
	Outcome string `json:"outcome"`
	Error   string `json:"error"`
}

// summary of what load has sent.
type summary struct {
	Requests   int            `json:"requests"`
	Outcomes   map[string]int `json:"outcomes"`
	Failures   []failure      `json:"failures"`
	Handshakes int64          `json:"handshakes"`
	Svids      int            `json:"svids"`
	Seconds    float64        `json:"seconds"`
}

type failure struct {
	At      string `json:"at"`
	Outcome string `json:"outcome"`
}

// load sends requests one after another, on a connection that it keeps, until SIGTERM or -for, then says what came of all.
func load(arguments []string) error {
	var who identity
	var what target
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	who.flags(flags)
	what.flags(flags)
	every := flags.Duration("every", 20*time.Millisecond, "pause between two requests")
	longest := flags.Duration("for", 10*time.Minute, "it ends by itself after that")
	_ = flags.Parse(arguments)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	config, err := who.tls(ctx)
	if err != nil {
		return err
	}
	call, err := what.caller(config)
	if err != nil {
		return err
	}
	start, last := time.Now(), ""
	sum := summary{Outcomes: map[string]int{}, Failures: []failure{}}
	for ctx.Err() == nil && time.Since(start) < *longest {
		if serial := who.serial(); serial != last {
			last = serial
			sum.Svids++
		}
		// Not with `ctx`: what was begun is brought to an end.
		outcome, err := call(context.Background())
		if err != nil {
			outcome = "error: " + short(err)
		}
		sum.Requests++
		sum.Outcomes[outcome]++
		if outcome != "200" && outcome != "OK" && len(sum.Failures) < 50 {
			sum.Failures = append(sum.Failures, failure{time.Now().UTC().Format("15:04:05.000"), outcome})
		}
		select {
		case <-ctx.Done():
		case <-time.After(*every):
		}
	}
	sum.Handshakes, sum.Seconds = who.handshakes.Load(), time.Since(start).Seconds()
	say(sum)
	return nil
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// short is an error without addresses, so that equal ones are counted together.
func short(err error) string {
	parts := strings.Split(err.Error(), ": ")
	if len(parts) > 2 {
		parts = parts[len(parts)-2:]
	}
	return strings.Join(parts, ": ")
}
