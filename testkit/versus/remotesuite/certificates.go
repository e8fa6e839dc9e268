package remotesuite

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hupe1980/rivven-cluster/remote"
)

func caFile(folder string) string { return filepath.Join(folder, "ca.pem") }
func certFile(folder string, n int) string {
	return filepath.Join(folder, fmt.Sprintf("node%d.pem", n))
}
func certKeyFile(folder string, n int) string {
	return filepath.Join(folder, fmt.Sprintf("node%d.key", n))
}

// writeCertificates makes a CA and the certificates of nodes 1 to n.
func writeCertificates(folder string, n int) error {
	ca, err := remote.NewCA(remote.DefaultTrustDomain, time.Now(), time.Hour)
	if err != nil {
		return err
	}
	if err := os.WriteFile(caFile(folder), ca.CertificatePEM(), 0o600); err != nil {
		return err
	}
	for i := 1; i <= n; i++ {
		certificate, err := ca.IssueNode(uint64(i), time.Now(), time.Hour, "127.0.0.1")
		if err != nil {
			return err
		}
		cert, key, err := remote.EncodeNode(certificate)
		if err != nil {
			return err
		}
		if err := os.WriteFile(certFile(folder, i), cert, 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(certKeyFile(folder, i), key, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// mutualTLS returns the configurations of both ends with the certificate of node n.
func mutualTLS(folder string, n int, protocols ...string) (server, client *tls.Config, err error) {
	pair, err := tls.LoadX509KeyPair(certFile(folder, n), certKeyFile(folder, n))
	if err != nil {
		return nil, nil, err
	}
	pem, err := os.ReadFile(caFile(folder))
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, nil, errors.New("the CA's certificate can't be read")
	}
	certificates := []tls.Certificate{pair}
	server = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: certificates, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, NextProtos: protocols}
	client = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: certificates, RootCAs: pool, NextProtos: protocols}
	return server, client, nil
}
