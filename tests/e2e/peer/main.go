// A client of exec, attach and port-forward that shares no line with berth: it speaks through the SPDY library that kubelet and
// crictl use.
//
//	peer remote [flags] URL         standard streams are the process's; the error stream goes to the file of -status
//	peer forward [flags] URL PORT   many short connections to an echo server, each checked
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/moby/spdystream"
)

type bufferedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

// https is verified against the certificates of $SSL_CERT_FILE, as Go programs do it by themselves.
func connect(target *url.URL) (net.Conn, error) {
	if target.Scheme != "https" {
		return net.Dial("tcp", target.Host)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	return tls.Dial("tcp", target.Host, &tls.Config{RootCAs: roots})
}

func dial(address string, protocols []string) (*spdystream.Connection, string, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, "", err
	}
	conn, err := connect(target)
	if err != nil {
		return nil, "", err
	}
	request, err := http.NewRequest("POST", address, nil)
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "SPDY/3.1")
	for _, protocol := range protocols {
		request.Header.Add("X-Stream-Protocol-Version", protocol)
	}
	if err := request.Write(conn); err != nil {
		return nil, "", err
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, "", err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(response.Body)
		return nil, "", fmt.Errorf("%s: %s", response.Status, body)
	}
	connection, err := spdystream.NewConnection(bufferedConn{conn, reader}, false)
	if err != nil {
		return nil, "", err
	}
	go connection.Serve(spdystream.NoOpStreamHandler)
	go func() {
		for range time.Tick(time.Second) {
			if _, err := connection.Ping(); err != nil {
				return
			}
		}
	}()
	return connection, response.Header.Get("X-Stream-Protocol-Version"), nil
}

func open(connection *spdystream.Connection, headers http.Header) (*spdystream.Stream, error) {
	stream, err := connection.CreateStream(headers, nil, false)
	if err != nil {
		return nil, err
	}
	return stream, stream.WaitTimeout(30 * time.Second)
}

// Bytes that differ from place to place, made fast.
type generator struct {
	left int64
	at   uint32
}

func (g *generator) Read(p []byte) (int, error) {
	if g.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > g.left {
		p = p[:g.left]
	}
	for i := 0; i < len(p); i += 4 {
		g.at = g.at*1664525 + 1013904223
		for j := i; j < i+4 && j < len(p); j++ {
			p[j] = byte(g.at >> (8 * (j - i)))
		}
	}
	g.left -= int64(len(p))
	return len(p), nil
}

type summer struct {
	sum   uint32
	count int64
}

var table = crc32.MakeTable(crc32.Castagnoli)

func (s *summer) Write(p []byte) (int, error) {
	s.sum = crc32.Update(s.sum, table, p)
	s.count += int64(len(p))
	return len(p), nil
}

func remote(arguments []string) error {
	flags := flag.NewFlagSet("remote", flag.ExitOnError)
	stdin := flags.Bool("i", false, "pass standard input on")
	stderr := flags.Bool("e", false, "there is a stderr stream")
	tty := flags.Bool("t", false, "there is a terminal")
	size := flags.String("size", "", "its size, JSON")
	resized := flags.String("resized", "", "the size after SIGUSR1")
	protocol := flags.String("protocol", "", "the one to offer; all that kubelet offers without it")
	status := flags.String("status", "", "file for the error stream")
	generate := flags.Int64("generate", 0, "instead of standard input: so many bytes")
	sum := flags.Bool("sum", false, "instead of standard output: count and checksum at the end")
	flags.Parse(arguments)
	offered := []string{"v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"}
	if *protocol != "" {
		offered = []string{*protocol}
	}
	connection, _, err := dial(flags.Arg(0), offered)
	if err != nil {
		return err
	}
	defer connection.Close()
	streamOf := func(kind string) (*spdystream.Stream, error) {
		return open(connection, http.Header{"Streamtype": {kind}})
	}

	errorStream, err := streamOf("error")
	if err != nil {
		return err
	}
	var sent summer
	if *stdin {
		input, err := streamOf("stdin")
		if err != nil {
			return err
		}
		var from io.Reader = os.Stdin
		if *generate > 0 {
			from = io.TeeReader(&generator{left: *generate}, &sent)
		}
		go func() {
			io.CopyBuffer(struct{ io.Writer }{input}, struct{ io.Reader }{from}, make([]byte, 32*1024))
			input.Close()
		}()
	}
	var group sync.WaitGroup
	var received summer
	receive := func(kind string, to io.Writer) error {
		stream, err := streamOf(kind)
		if err != nil {
			return err
		}
		group.Add(1)
		go func() {
			defer group.Done()
			io.Copy(to, stream)
		}()
		return nil
	}
	var out io.Writer = os.Stdout
	if *sum {
		out = &received
	}
	if err := receive("stdout", out); err != nil {
		return err
	}
	if *stderr {
		if err := receive("stderr", os.Stderr); err != nil {
			return err
		}
	}
	if *tty {
		resize, err := streamOf("resize")
		if err != nil {
			return err
		}
		io.WriteString(resize, *size)
		changes := make(chan os.Signal, 1)
		signal.Notify(changes, syscall.SIGUSR1)
		go func() {
			for range changes {
				io.WriteString(resize, *resized)
			}
		}()
	}
	text, err := io.ReadAll(errorStream)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	group.Wait()
	if *sum {
		fmt.Printf("sent %d %08x received %d %08x\n", sent.count, sent.sum, received.count, received.sum)
	}
	if *status != "" {
		return os.WriteFile(*status, text, 0o600)
	}
	return nil
}

func forwardOne(connection *spdystream.Connection, port string, id int, size int64) error {
	headers := http.Header{"Port": {port}, "Requestid": {strconv.Itoa(id)}}
	headers.Set("Streamtype", "error")
	errorStream, err := open(connection, headers)
	if err != nil {
		return fmt.Errorf("error stream: %w", err)
	}
	errorStream.Close()
	headers.Set("Streamtype", "data")
	dataStream, err := open(connection, headers)
	if err != nil {
		return fmt.Errorf("data stream: %w", err)
	}
	var sent, received summer
	go func() {
		io.Copy(dataStream, io.TeeReader(&generator{left: size, at: uint32(id)}, &sent))
		dataStream.Close()
	}()
	var problem bytes.Buffer
	copied := make(chan struct{})
	go func() {
		io.Copy(&received, dataStream)
		close(copied)
	}()
	// As kubectl does it: all is read, the data stream is reset, and the error stream says that nothing went wrong.
	<-copied
	if id%2 == 0 {
		dataStream.Reset()
	}
	io.Copy(&problem, errorStream)
	if problem.Len() > 0 {
		return errors.New(problem.String())
	}
	if sent != received {
		return fmt.Errorf("connection %d: sent %v, received %v", id, sent, received)
	}
	return nil
}

func forward(arguments []string) error {
	flags := flag.NewFlagSet("forward", flag.ExitOnError)
	count := flags.Int("n", 1, "connections")
	parallel := flags.Int("parallel", 1, "at a time")
	size := flags.Int64("size", 1000, "bytes each")
	flags.Parse(arguments)
	connection, _, err := dial(flags.Arg(0), []string{"portforward.k8s.io"})
	if err != nil {
		return err
	}
	defer connection.Close()
	var group sync.WaitGroup
	next := make(chan int)
	failures := make(chan error, *count)
	for i := 0; i < *parallel; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for id := range next {
				if err := forwardOne(connection, flags.Arg(1), id, *size); err != nil {
					failures <- err
				}
			}
		}()
	}
	for id := 0; id < *count; id++ {
		next <- id
	}
	close(next)
	group.Wait()
	close(failures)
	failed := 0
	for err := range failures {
		if failed++; failed <= 5 {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	fmt.Printf("%d connections, %d failed\n", *count, failed)
	if failed > 0 {
		return errors.New("some failed")
	}
	return nil
}

func main() {
	commands := map[string]func([]string) error{"remote": remote, "forward": forward}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: peer remote|forward [flags] URL ...")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}
