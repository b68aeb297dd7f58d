package dns

import (
	"encoding/binary"
	"io"
	"net"
	"time"
)

const (
	maxStreams  = 64               // connections of the container at once; more are closed
	streamPause = 10 * time.Second // after which an idle connection is closed (RFC 7766 6.2.3)
)

func (s *Server) serveStreams() {
	defer s.running.Done()
	slots := make(chan struct{}, maxStreams)
	for {
		c, err := s.streams.AcceptTCP()
		if s.ctx.Err() != nil {
			if err == nil {
				c.Close()
			}
			return
		}
		if err != nil { // out of descriptors, perhaps: the client waits in the queue
			time.Sleep(10 * time.Millisecond)
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			c.Close()
			continue
		}
		s.running.Add(1)
		go func() {
			defer s.running.Done()
			defer func() { <-slots }()
			s.serveStream(c)
		}()
	}
}

// serveStream answers the queries of one connection one after another.
func (s *Server) serveStream(c *net.TCPConn) {
	defer c.Close()
	done := make(chan struct{})
	defer close(done)
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		select {
		case <-s.ctx.Done():
			c.Close()
		case <-done:
		}
	}()
	var t turn
	for {
		c.SetDeadline(time.Now().Add(streamPause))
		message, err := readStream(c, maxDatagram)
		if err != nil {
			return
		}
		reply := s.answerStream(&t, message)
		if reply == nil {
			return
		}
		c.SetDeadline(time.Now().Add(streamPause))
		if writeStream(c, reply) != nil {
			return
		}
	}
}

func (s *Server) answerStream(t *turn, message []byte) []byte {
	networks := s.networks()
	reply, forward := s.answer(t, networks, message, true)
	if !forward {
		return reply
	}
	servers := s.upstream.servers(networks)
	if len(servers) == 0 || !s.upstream.enter() {
		return t.fail(serverFailure)
	}
	q, replies := t.query.clone(), make(chan []byte, 1)
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		defer s.upstream.leave()
		s.upstream.ask(s.ctx, q, servers, "tcp", func(reply []byte) { replies <- reply })
	}()
	return <-replies
}

// readStream reads a message with the length before it (RFC 1035 4.2.2).
func readStream(r io.Reader, limit int) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > limit {
		return nil, io.ErrShortBuffer
	}
	message := make([]byte, n)
	_, err := io.ReadFull(r, message)
	return message, err
}

func writeStream(w io.Writer, message []byte) error {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(message)), uint16(len(message)))
	_, err := w.Write(append(b, message...))
	return err
}
