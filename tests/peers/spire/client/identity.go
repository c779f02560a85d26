package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// identity is who the client is and whom it talks to.
type identity struct {
	socket, files, server string
	source                *workloadapi.X509Source
	handshakes            atomic.Int64
}

func (who *identity) flags(flags *flag.FlagSet) {
	flags.StringVar(&who.socket, "socket", "", "the Workload API that the SVID and the bundles come from, and their renewals")
	flags.StringVar(&who.files, "svid", "", "instead: FILES.pem and FILES.key; the server is not verified then")
	flags.StringVar(&who.server, "server", "", "the SPIFFE ID that the server must have")
}

// tls is what the client shows and whom it accepts.
func (who *identity) tls(ctx context.Context) (*tls.Config, error) {
	var config *tls.Config
	switch {
	case who.files != "":
		certificate, err := tls.LoadX509KeyPair(who.files+".pem", who.files+".key")
		if err != nil {
			return nil, err
		}
		// What such a client is for is what the server makes of it.
		config = &tls.Config{
			InsecureSkipVerify: true,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &certificate, nil
			},
		}
	case who.socket != "":
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr("unix://"+who.socket)))
		if err != nil {
			return nil, err
		}
		server, err := spiffeid.FromString(who.server)
		if err != nil {
			return nil, err
		}
		who.source = source
		config = tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(server))
	default:
		return nil, errors.New("one of -socket and -svid says who the client is")
	}
	present := config.GetClientCertificate
	config.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		who.handshakes.Add(1)
		return present(info)
	}
	return config, nil
}

// serial of the SVID that the Workload API has given last.
func (who *identity) serial() string {
	if who.source == nil {
		return ""
	}
	var svid *x509svid.SVID
	svid, err := who.source.GetX509SVID()
	if err != nil {
		return ""
	}
	return svid.Certificates[0].SerialNumber.String()
}
