// Command probe is what tests and the benchmark run in containers where busybox has
// no program for it: servers and clients that say which addresses they see, and
// packets that no ordinary program would send. It is linked statically.
//
//	probe who PORT                    TCP and UDP: answers each client with its address
//	probe echo PORT                   TCP: echoes
//	probe receive PORT                TCP and UDP: prints "ADDRESS TEXT" of whoever comes
//	probe scan ADDRESS FIRST LAST     prints the TCP ports that are open
//	probe junk ADDRESS N              N datagrams of nonsense, and N connections that say nothing
//	probe ask tcp|udp ADDRESS [TEXT]  sends TEXT, prints the answer; exit code 1 without one in three seconds
//	probe ask -from SOURCE …          from this address of the machine
//	probe get http://HOST[:PORT]/PATH prints the page; for three seconds the server may still be starting
//	probe sweep PORT TEXT HOST…       TCP and UDP to all at once, two seconds: prints whoever answers, and what
//	probe talk ADDRESS SECONDS        an echo's client: fails when a line of its one connection is lost
//	probe lookup NAME…                prints "NAME ADDRESS" as this container's resolver has it
//	probe names SERVER SECONDS PREFIX N   queries PREFIX0 … in turns: prints answers per second, fails when one is missing
//	probe connects ADDRESS SECONDS    prints connections per second to an address that answers and closes
//	probe …                           hostile packets: packets.go
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "probe: what?")
		os.Exit(2)
	}
	verbs := map[string]func(args []string) error{
		"who": who, "echo": echo, "ask": ask, "get": get, "sweep": sweep, "talk": talk, "receive": receive, "scan": scan, "junk": junk, "lookup": lookup, "names": names, "connects": connects,
	}
	for name, f := range hostile {
		verbs[name] = f
	}
	f, ok := verbs[os.Args[1]]
	if !ok {
		fmt.Fprintln(os.Stderr, "probe: what is", os.Args[1], "?")
		os.Exit(2)
	}
	if err := f(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func who(args []string) error {
	l, err := net.Listen("tcp", ":"+args[0])
	if err != nil {
		return err
	}
	p, err := net.ListenPacket("udp", ":"+args[0])
	if err != nil {
		return err
	}
	go func() {
		b := make([]byte, 1<<16)
		for {
			_, from, err := p.ReadFrom(b)
			if err != nil {
				fmt.Fprintln(os.Stderr, "probe:", err)
				return
			}
			p.WriteTo([]byte(address(from)+"\n"), from)
		}
	}()
	return serve(l, func(c net.Conn) { fmt.Fprintln(c, address(c.RemoteAddr())) })
}

// address is without its port, and without the form that an IPv6 socket gives IPv4.
func address(a net.Addr) string {
	return netip.MustParseAddrPort(a.String()).Addr().Unmap().String()
}

func echo(args []string) error {
	l, err := net.Listen("tcp", ":"+args[0])
	if err != nil {
		return err
	}
	return serve(l, func(c net.Conn) { io.Copy(c, c) })
}

func serve(l net.Listener, f func(net.Conn)) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			f(c)
		}()
	}
}

func ask(args []string) error {
	flags := flag.NewFlagSet("ask", flag.ExitOnError)
	from := flags.String("from", "", "source address")
	flags.Parse(args)
	network, to := flags.Arg(0), flags.Arg(1)
	d := net.Dialer{Timeout: 3 * time.Second}
	if *from != "" {
		a := netip.AddrPortFrom(netip.MustParseAddr(*from), 0)
		if d.LocalAddr = net.Addr(net.TCPAddrFromAddrPort(a)); network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(a)
		}
	}
	c, err := d.Dial(network, to)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second))
	if flags.NArg() > 2 { // what a server does not read before it closes resets the connection
		if _, err := fmt.Fprintln(c, flags.Arg(2)); err != nil {
			return err
		}
	}
	if t, ok := c.(*net.TCPConn); ok {
		t.CloseWrite()
		out, err := io.ReadAll(c)
		os.Stdout.Write(out)
		if err == nil && len(out) == 0 {
			return errors.New("it answers nothing")
		}
		return err
	}
	b := make([]byte, 1<<16)
	n, err := c.Read(b)
	os.Stdout.Write(b[:n])
	return err
}

func sweep(args []string) error {
	var wg sync.WaitGroup
	for _, host := range args[2:] {
		for _, network := range []string{"tcp", "udp"} {
			wg.Go(func() {
				c, err := net.DialTimeout(network, host+":"+args[0], 2*time.Second)
				if err != nil {
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(2 * time.Second))
				fmt.Fprint(c, args[1])
				b := make([]byte, 1<<10)
				if n, err := c.Read(b); err == nil || network == "tcp" {
					fmt.Printf("%s %s answers %q\n", network, host, b[:n])
				}
			})
		}
	}
	wg.Wait()
	return nil
}

func get(args []string) error {
	host, path, ok := strings.Cut(strings.TrimPrefix(args[0], "http://"), "/")
	if !ok {
		return fmt.Errorf("%s is no address of a page", args[0])
	}
	to := host
	if _, _, err := net.SplitHostPort(host); err != nil {
		to = host + ":80"
	}
	for end := time.Now().Add(3 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		page, err := fetch(to, host, path)
		if err == nil || time.Now().After(end) {
			fmt.Print(page)
			return err
		}
	}
}

func fetch(to, host, path string) (string, error) {
	c, err := net.DialTimeout("tcp", to, 3*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(c, "GET /%s HTTP/1.0\r\nHost: %s\r\n\r\n", path, host)
	all, err := io.ReadAll(c)
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	if f := strings.Fields(head); err == nil && (len(f) < 2 || f[1] != "200") {
		err = fmt.Errorf("no page: %q", head)
	}
	return body, err
}

// receive prints at once: what is in the container's log has come.
func receive(args []string) error {
	l, err := net.Listen("tcp", ":"+args[0])
	if err != nil {
		return err
	}
	p, err := net.ListenPacket("udp", ":"+args[0])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	go serve(l, func(c net.Conn) {
		c.SetDeadline(time.Now().Add(3 * time.Second))
		b := make([]byte, 1<<10)
		n, _ := c.Read(b)
		fmt.Printf("tcp %s %q\n", address(c.RemoteAddr()), b[:n])
	})
	b := make([]byte, 1<<16)
	for {
		n, from, err := p.ReadFrom(b)
		if err != nil {
			return err
		}
		fmt.Printf("udp %s %q\n", address(from), b[:n])
	}
}

func scan(args []string) error {
	ports := make(chan int)
	var wg sync.WaitGroup
	first, err1 := strconv.Atoi(args[1])
	last, err2 := strconv.Atoi(args[2])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for range 1000 {
		wg.Go(func() {
			for port := range ports {
				c, err := net.DialTimeout("tcp", net.JoinHostPort(args[0], strconv.Itoa(port)), time.Second)
				if err == nil {
					fmt.Println(port)
					c.Close()
				}
			}
		})
	}
	for port := first; port <= last; port++ {
		ports <- port
	}
	close(ports)
	wg.Wait()
	return nil
}

func junk(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	c, err := net.Dial("udp", args[0])
	if err != nil {
		return err
	}
	var held []net.Conn
	for i := range n {
		b := make([]byte, 1+i%1400)
		rand.Read(b)
		if i%3 == 0 && len(b) > 12 { // almost a question
			copy(b[2:], []byte{1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12})
		}
		c.Write(b)
		if t, err := net.DialTimeout("tcp", args[0], 100*time.Millisecond); err == nil {
			t.Write(b[:min(len(b), 3)])
			held = append(held, t)
		}
	}
	fmt.Println(len(held), "connections")
	return nil
}

func lookup(args []string) error {
	for _, name := range args {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", name)
		cancel()
		if err != nil {
			return err
		}
		for _, a := range addresses {
			fmt.Println(name, a.Unmap())
		}
	}
	return nil
}

func talk(args []string) error {
	seconds, err := strconv.ParseFloat(args[1], 64)
	if err != nil {
		return err
	}
	c, err := net.DialTimeout("tcp", args[0], 3*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	r, lines := bufio.NewReader(c), 0
	for end := time.Now().Add(time.Duration(seconds * float64(time.Second))); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		c.SetDeadline(time.Now().Add(3 * time.Second))
		line := strconv.Itoa(lines) + "\n"
		if _, err := io.WriteString(c, line); err != nil {
			return fmt.Errorf("line %d: %w", lines, err)
		}
		if got, err := r.ReadString('\n'); err != nil || got != line {
			return fmt.Errorf("line %d: %q, %w", lines, strings.TrimSpace(got), err)
		}
		lines++
	}
	fmt.Println(lines, "lines")
	return nil
}
