package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// authorities makes a bundle of many authorities of one trust domain: `bundle.json`, and the last of them as `ca.pem` and
// `ca.key`. Like one that has rotated very often, each has a name and a key of its own.
func authorities(arguments []string) error {
	flags := flag.NewFlagSet("authorities", flag.ExitOnError)
	name := flags.String("trust-domain", "", "")
	count := flags.Int("count", 1, "")
	folder := flags.String("folder", "", "")
	_ = flags.Parse(arguments)
	domain, err := spiffeid.TrustDomainFromString(*name)
	if err != nil {
		return err
	}
	bundle := spiffebundle.New(domain)
	var certificate *x509.Certificate
	var key crypto.Signer
	for number := range *count {
		if certificate, key, err = authority(domain, number); err != nil {
			return err
		}
		bundle.AddX509Authority(certificate)
	}
	document, err := bundle.Marshal()
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for file, content := range map[string][]byte{
		"bundle.json": document,
		"ca.pem":      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}),
		"ca.key":      pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	} {
		if err := os.WriteFile(filepath.Join(*folder, file), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func authority(domain spiffeid.TrustDomain, number int) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(int64(number + 1)),
		Subject:               pkix.Name{CommonName: fmt.Sprintf("authority %d", number)},
		NotBefore:             now.Add(-time.Minute),
		NotAfter:              now.Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		URIs:                  []*url.URL{domain.ID().URL()},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return certificate, key, err
}
