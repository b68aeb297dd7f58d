package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// inFlight is how many questions or connections a rate is measured with.
const inFlight = 16

// rate calls f(worker, n) from several goroutines for as many seconds and prints how
// often per second it returned. The first error ends it.
func rate(seconds string, f func(worker, n int) error) error {
	length, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Duration(length*float64(time.Second)), nil)
	defer cancel()
	var count atomic.Int64
	failed := make(chan error, inFlight)
	var wg sync.WaitGroup
	start := time.Now()
	for worker := range inFlight {
		wg.Go(func() {
			for n := worker; ctx.Err() == nil; n += inFlight {
				if err := f(worker, n); err != nil {
					failed <- err
					cancel()
					return
				}
				count.Add(1)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	fmt.Printf("%.0f\n", float64(count.Load())/time.Since(start).Seconds())
	return nil
}

// names asks a resolver for A records.
func names(args []string) error {
	server, prefix := args[0], args[2]
	count, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	questions := make([][]byte, count)
	for i := range questions {
		name, err := dnsmessage.NewName(prefix + strconv.Itoa(i) + ".")
		if err != nil {
			return err
		}
		q := dnsmessage.Message{Header: dnsmessage.Header{RecursionDesired: true}, Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
		if questions[i], err = q.Pack(); err != nil {
			return err
		}
	}
	var sockets [inFlight]net.Conn
	for i := range sockets {
		if sockets[i], err = net.Dial("udp", server); err != nil {
			return err
		}
	}
	return rate(args[1], func(worker, n int) error {
		c, q := sockets[worker], append([]byte(nil), questions[n%count]...)
		q[0], q[1] = byte(n>>8), byte(n)
		if _, err := c.Write(q); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		var b [1500]byte
		size, err := c.Read(b[:])
		if err != nil {
			return err
		}
		var m dnsmessage.Message
		if err := m.Unpack(b[:size]); err != nil {
			return err
		}
		if m.ID != uint16(n) || m.RCode != dnsmessage.RCodeSuccess || len(m.Answers) == 0 {
			return fmt.Errorf("%s%d: %v, %d answers", prefix, n%count, m.RCode, len(m.Answers))
		}
		return nil
	})
}

// connects opens connections to a server that says something and closes.
func connects(args []string) error {
	return rate(args[1], func(int, int) error {
		c, err := net.DialTimeout("tcp", args[0], 5*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		b, err := io.ReadAll(c)
		if err == nil && len(b) == 0 {
			err = fmt.Errorf("%s said nothing", args[0])
		}
		return err
	})
}
