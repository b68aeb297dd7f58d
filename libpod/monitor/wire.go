package monitor

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
	"ctr/libpod/state"
)

// The protocol between a client and a container's monitor, on a unix stream socket:
//
//	client                                 monitor
//	  Request (with descriptors)  ------->
//	                              <-------   Reply
//	  Stdin*, StdinEnd, Resize*, Signal* ->                  attach, start, exec
//	                              <-------   Stdout*, Stderr*
//	                              <-------   Exit            the container (or the exec) is gone and recorded
//
// A frame is one byte of kind, four bytes of length (big endian) and the payload;
// Request, Reply and Exit are JSON. The socket's file lies in a directory of the
// user's alone and the monitor checks the peer's uid besides.

// Kind says what a frame carries.
type Kind byte

// The kinds of frames.
const (
	KindRequest Kind = iota + 1
	KindReply
	KindExit
	KindStdin
	KindStdinEnd
	KindStdout
	KindStderr
	KindResize
	KindSignal
)

const (
	maxFrame  = 4 << 20 // of JSON; a request holds an environment
	maxFds    = 253     // SCM_MAX_FD
	frameHead = 5
)

// Op is what a request asks for.
type Op string

// The operations of a monitor.
const (
	OpStart  Op = "start" // only on the socket that the monitor was born with
	OpAttach Op = "attach"
	OpWait   Op = "wait" // Exit follows when the container has ended for good
	OpExec   Op = "exec"
	OpSignal Op = "signal"
	OpStop   Op = "stop"
	OpPause  Op = "pause"
	OpResume Op = "resume"
	OpPids   Op = "pids"

	OpConnect    Op = "connect"    // to a further network
	OpDisconnect Op = "disconnect" // from a network
	OpReload     Op = "reload"     // of the networks' rules
)

// Request is the first frame of a connection.
type Request struct {
	Op     Op     `json:"op"`
	ID     string `json:"id,omitempty"` // start: the container
	Attach Attach `json:"attach"`
	Signal int    `json:"signal,omitempty"`
	Stop   *Stop  `json:"stop,omitempty"`
	Exec   *Exec  `json:"exec,omitempty"`
	Next   bool   `json:"next,omitempty"` // wait: for the next exit, though the container may be restarted

	Endpoint *config.Endpoint `json:"endpoint,omitempty"` // connect
	Network  string           `json:"network,omitempty"`  // disconnect: its name
}

// Attach says which streams the client wants relayed.
type Attach struct {
	Stdin, Stdout, Stderr bool
}

// Stop is how to end the container.
type Stop struct {
	Signal  int // 0 is the container's stop signal
	Timeout int // seconds before SIGKILL; negative waits for ever
}

// Exec is a further process. Its stdin, stdout and stderr come as three
// descriptors with the request, then those for 3 and up; with TTY only the latter,
// and the terminal's master goes back with the reply.
type Exec struct {
	Args       []string
	Env        []string `json:",omitempty"`
	User       string   `json:",omitempty"`
	WorkingDir string   `json:",omitempty"`
	TTY        bool     `json:",omitempty"`
	Privileged bool     `json:",omitempty"`
	Detach     bool     `json:",omitempty"` // no Exit follows; the process outlives the connection
	Height     uint16   `json:",omitempty"`
	Width      uint16   `json:",omitempty"`
}

// Reply answers a request.
type Reply struct {
	Error *Fault `json:"error,omitempty"`
	Pid   int    `json:"pid,omitempty"`
	Pids  []int  `json:"pids,omitempty"`
	// Notices say, in a line each, what this machine lacks and what follows.
	Notices []string `json:"notices,omitempty"`
}

// FaultKind lets a client tell errors apart that crossed the socket.
type FaultKind string

// The kinds of faults that have exit codes or texts of their own.
const (
	FaultOther         FaultKind = ""
	FaultNotFound      FaultKind = "not-found"      // the command: 127
	FaultNotExecutable FaultKind = "not-executable" // the command: 126
	FaultNoCgroup      FaultKind = "no-cgroup"
	FaultPaused        FaultKind = "paused"
	FaultNotPaused     FaultKind = "not-paused"
	FaultGone          FaultKind = "gone" // the container ended meanwhile
)

// Fault is an error as it crosses the socket.
type Fault struct {
	Kind    FaultKind `json:"kind,omitempty"`
	Message string    `json:"message"`
}

func (f *Fault) Error() string { return f.Message }

// Conn is one side of a connection. One goroutine may receive while others send.
type Conn struct {
	sock    *net.UnixConn
	sending sync.Mutex
	buf     []byte // received and not yet taken
	files   []*os.File
}

// NewConn wraps a socket, which it then owns.
func NewConn(sock *net.UnixConn) *Conn { return &Conn{sock: sock} }

// FileConn makes a connection of an open socket, which it takes over.
func FileConn(f *os.File) (*Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	sock, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("opening the control socket: not a unix socket")
	}
	return NewConn(sock), nil
}

// Close ends the connection in both directions.
func (c *Conn) Close() error {
	for _, f := range c.files {
		f.Close()
	}
	return c.sock.Close()
}

// Send writes one frame with payload p; an empty one has only its kind.
func (c *Conn) Send(k Kind, p []byte, files ...*os.File) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = rawFd(f)
		}
		oob = unix.UnixRights(fds...)
	}
	head := make([]byte, frameHead, frameHead+len(p))
	head[0] = byte(k)
	binary.BigEndian.PutUint32(head[1:], uint32(len(p)))
	frame := append(head, p...)
	n, _, err := c.sock.WriteMsgUnix(frame, oob, nil)
	if err == nil && n < len(frame) {
		_, err = c.sock.Write(frame[n:])
	}
	return err
}

// rawFd is f's descriptor. Unlike File.Fd it leaves the blocking mode alone, which
// is shared with whoever else has the file open.
func rawFd(f *os.File) int {
	fd := -1
	if raw, err := f.SyscallConn(); err == nil {
		raw.Control(func(n uintptr) { fd = int(n) })
	}
	return fd
}

// SendJSON writes one frame with v in JSON.
func (c *Conn) SendJSON(k Kind, v any, files ...*os.File) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding a message: %w", err)
	}
	return c.Send(k, b, files...)
}

// Receive reads one frame. The payload is good until the next call. io.EOF means
// that the other side is gone.
func (c *Conn) Receive() (Kind, []byte, error) {
	if err := c.fill(frameHead); err != nil {
		return 0, nil, err
	}
	kind, size := Kind(c.buf[0]), int(binary.BigEndian.Uint32(c.buf[1:]))
	if size > maxFrame {
		return 0, nil, fmt.Errorf("receiving a message: %d bytes are too many", size)
	}
	if err := c.fill(frameHead + size); err != nil {
		return 0, nil, err
	}
	p := c.buf[frameHead : frameHead+size]
	c.buf = c.buf[frameHead+size:]
	return kind, p, nil
}

// Files hands over the descriptors that came with what was received.
func (c *Conn) Files() []*os.File {
	f := c.files
	c.files = nil
	return f
}

// fill reads until at least n bytes are in buf. An idle connection holds no memory.
func (c *Conn) fill(n int) error {
	for len(c.buf) < n {
		chunk := make([]byte, max(n-len(c.buf), 4096))
		oob := make([]byte, unix.CmsgSpace(4*maxFds))
		m, oobn, _, _, err := c.sock.ReadMsgUnix(chunk, oob)
		if oobn > 0 {
			c.takeFiles(oob[:oobn])
		}
		if err != nil {
			return err
		}
		if m == 0 {
			return io.EOF
		}
		c.buf = append(c.buf, chunk[:m]...)
	}
	return nil
}

func (c *Conn) takeFiles(oob []byte) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for _, m := range msgs {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			c.files = append(c.files, os.NewFile(uintptr(fd), "passed"))
		}
	}
}

// Ask sends req and waits for the reply; a fault in it is returned as the error.
func (c *Conn) Ask(req Request, files ...*os.File) (Reply, error) {
	if err := c.SendJSON(KindRequest, req, files...); err != nil {
		return Reply{}, c.lost(err)
	}
	return c.ReceiveReply()
}

// ReceiveReply waits for the reply to a request that was sent.
func (c *Conn) ReceiveReply() (Reply, error) {
	kind, p, err := c.Receive()
	if err != nil {
		return Reply{}, c.lost(err)
	}
	if kind != KindReply {
		return Reply{}, fmt.Errorf("the container's monitor sent message %d instead of a reply", kind)
	}
	return ParseReply(p)
}

// ParseReply reads the payload of a Reply frame; a fault in it is returned as the error.
func ParseReply(p []byte) (Reply, error) {
	var r Reply
	if err := json.Unmarshal(p, &r); err != nil {
		return r, fmt.Errorf("reading the monitor's reply: %w", err)
	}
	if r.Error != nil {
		return r, r.Error
	}
	return r, nil
}

// lost is the error of a connection on which nothing more comes.
func (c *Conn) lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return &Fault{Kind: FaultGone, Message: "the container's monitor is gone"}
	}
	return fmt.Errorf("talking to the container's monitor: %w", err)
}

// ParseExit reads the payload of an Exit frame.
func ParseExit(p []byte) (state.Exit, error) {
	var e state.Exit
	if err := json.Unmarshal(p, &e); err != nil {
		return e, fmt.Errorf("reading the exit status: %w", err)
	}
	return e, nil
}

const socketName = "ctl.sock"

// Dial connects to the monitor whose run directory is dir. The path of a unix
// socket holds 107 bytes, so it is reached through the directory's descriptor.
func Dial(dir string) (*Conn, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	sock, err := net.DialUnix("unix", nil, socketAddr(d))
	if err != nil {
		return nil, err
	}
	return NewConn(sock), nil
}

func listen(dir string) (*net.UnixListener, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	defer d.Close()
	l, err := net.ListenUnix("unix", socketAddr(d))
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}

func socketAddr(dir *os.File) *net.UnixAddr {
	return &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName)}
}
