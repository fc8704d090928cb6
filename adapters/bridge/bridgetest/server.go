package bridgetest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/internal/freeport"
)

// A Server is a real broker that a test can stop and start again. One that the
// environment points to cannot be stopped: Own says whether this one can.
type Server struct {
	// Addr is host and port, URL how a client reaches it.
	Addr, URL string
	Own       bool
	// Env is the environment of its tools.
	Env []string

	start func() *exec.Cmd
	ready func(context.Context) error
	// leaves is a shell command that ends what outlives the server.
	leaves string
	mu     sync.Mutex // guards all below
	cmd    *exec.Cmd
	ended  chan struct{} // closed when cmd has
	// release ends the guard.
	release func()
	log     *Log // of the last start
}

// Through returns the server's URL by way of a proxy.
func (s *Server) Through(p *Proxy) string {
	u, err := url.Parse(s.URL)
	if err != nil {
		panic(err) // it is ours
	}
	u.Host = p.Addr()
	return u.String()
}

// Start starts the server and waits until it answers. A server that ends while it
// starts, or does not get there, is started again: that a broker comes up is not what
// its test is about.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	const tries = 3
	for try := 1; ; try++ {
		err := s.startOnce(t)
		if err == nil {
			return
		}
		path := s.cmd.Path
		s.stop()
		said := s.log.String()
		said = said[max(0, len(said)-4000):]
		if try == tries {
			t.Fatalf("%s: %v; it said:\n%s", path, err, said)
		}
		t.Logf("%s is started again: %v; it said:\n%s", path, err, said)
	}
}

// startOnce returns why the server did not come up.
func (s *Server) startOnce(t testing.TB) error {
	t.Helper()
	s.cmd = s.start()
	s.log = new(Log)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	// A group of its own, so that all that it starts can be ended with it.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.WaitDelay = 5 * time.Second // what it leaves behind may hold its output
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", s.cmd.Path, err)
	}
	s.guard(t)
	s.ended = make(chan struct{})
	go func(c *exec.Cmd, ended chan struct{}) {
		_ = c.Wait() // it is killed, mostly
		close(ended)
	}(s.cmd, s.ended)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it has ended by itself: %s", s.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case <-time.After(50 * time.Millisecond): // until it listens
		}
	}
}

// guard has a process beside this one wait for its end, whatever that is: a panic, a
// timeout and a signal run no cleanup, and would leave the server behind.
func (s *Server) guard(t testing.TB) {
	t.Helper()
	c := exec.Command("sh", "-c", fmt.Sprintf("cat >/dev/null; kill -s KILL -- -%d 2>/dev/null; %s", s.cmd.Process.Pid, cmp.Or(s.leaves, ":")))
	c.Env = s.Env
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is not for it
	held, err := c.StdinPipe()                          // closed by the system when this process ends
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatalf("guard %s: %v", s.cmd.Path, err)
	}
	s.release = func() {
		_ = c.Process.Kill() // before it does what it waits for
		_ = held.Close()
		_ = c.Wait()
	}
}

// Stop ends the server, at once.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		s.stop()
	}
}

func (s *Server) stop() {
	if s.release != nil {
		s.release()
		s.release = nil
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.ended
	s.cmd = nil
}

func find(t testing.TB, what string, at ...string) string {
	t.Helper()
	for _, a := range at {
		if p, err := exec.LookPath(a); err == nil {
			return p
		}
	}
	t.Fatalf("%s is not installed, and this test needs it: run make deps (or .ci/install-deps), or set %s_URL to a server that may be used", what, strings.ToUpper(what))
	return ""
}

func listens(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		d := net.Dialer{Timeout: time.Second}
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// Redis returns a Redis server: that of REDIS_URL, or one of the test's own.
func Redis(t testing.TB, args ...string) *Server {
	t.Helper()
	if u := os.Getenv("REDIS_URL"); u != "" && len(args) == 0 {
		return given(t, u, "6379")
	}
	path := find(t, "redis", "redis-server")
	port, dir := freeport.Port(t), t.TempDir()
	s := &Server{Addr: "127.0.0.1:" + strconv.Itoa(port), Own: true}
	s.URL = "redis://" + s.Addr
	s.start = func() *exec.Cmd {
		return exec.Command(path, append([]string{
			"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no",
		}, args...)...)
	}
	s.ready = func(ctx context.Context) error {
		c, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Second))
		if _, err = c.Write([]byte("PING\r\n")); err != nil {
			return err
		}
		buf := make([]byte, 64)
		n, err := c.Read(buf)
		if err == nil && strings.HasPrefix(string(buf[:n]), "-LOADING") {
			err = fmt.Errorf("it loads")
		}
		return err
	}
	t.Cleanup(s.Stop)
	s.Start(t)
	return s
}

func given(t testing.TB, raw, port string) *Server {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal("the URL of a server in the environment cannot be read")
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), port)
	}
	return &Server{Addr: host, URL: raw}
}

// RabbitMQ returns a RabbitMQ server: that of RABBITMQ_URL, or one of the test's
// own, which takes some seconds to start.
func RabbitMQ(t testing.TB) *Server {
	t.Helper()
	if u := os.Getenv("RABBITMQ_URL"); u != "" {
		return given(t, u, "5672")
	}
	// The command in the path of Debian changes to another user.
	path := find(t, "rabbitmq", "/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
	dir, err := os.MkdirTemp("", "fsmesh-rabbitmq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	port := freeport.Port(t)
	names := strconv.Itoa(freeport.Port(t))
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	s := &Server{Addr: "127.0.0.1:" + strconv.Itoa(port), Own: true}
	s.URL = "amqp://guest:guest@" + s.Addr
	s.Env = append(os.Environ(),
		"HOME="+dir, "RABBITMQ_NODENAME=fsmesh"+names+"@localhost", "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT="+strconv.Itoa(port), "RABBITMQ_DIST_PORT="+strconv.Itoa(freeport.Port(t)), "ERL_EPMD_PORT="+names,
		"ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_RELAXED_COMMAND_CHECK=1", "RABBITMQ_MNESIA_BASE="+filepath.Join(dir, "mnesia"), "RABBITMQ_LOG_BASE="+filepath.Join(dir, "log"),
		"RABBITMQ_LOGS=-", "RABBITMQ_PID_FILE="+filepath.Join(dir, "pid"), "RABBITMQ_ENABLED_PLUGINS_FILE="+write("plugins", "[].\n"),
		"RABBITMQ_CONFIG_FILE="+write("rabbitmq.conf", "log.console.level = error\n"), "RABBITMQ_CONF_ENV_FILE="+write("env.conf", ""),
		// Its schedulers are not to spin while they wait: there are other tests.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none", "LANG=C.UTF-8",
	)
	s.start = func() *exec.Cmd {
		c := exec.Command(path)
		c.Env, c.Dir = s.Env, dir
		return c
	}
	s.ready = s.answersAMQP
	s.leaves = "epmd -port " + names + " -kill >/dev/null 2>&1"
	t.Cleanup(func() { // also of a server that does not come up
		s.Stop()
		if epmd, err := exec.LookPath("epmd"); err == nil { // it outlives the server
			c := exec.Command(epmd, "-port", names, "-kill")
			c.Env = s.Env
			_ = c.Run()
		}
	})
	s.Start(t)
	return s
}

// answersAMQP reports whether the server says hello: it listens before it does.
func (s *Server) answersAMQP(ctx context.Context) error {
	if err := listens(s.Addr)(ctx); err != nil {
		return err
	}
	c, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := c.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 16))
	return err
}

// RabbitMQCtl runs rabbitmqctl. A server answers clients before its application
// counts as started, and until then the tool refuses most that it is asked: so it
// waits for that first.
func (s *Server) RabbitMQCtl(t testing.TB, args ...string) {
	t.Helper()
	if !s.saysStarted(10 * time.Second) {
		s.tool(t, "rabbitmqctl", "await_startup", "--timeout", "60")
	}
	s.tool(t, "rabbitmqctl", args...)
}

// saysStarted waits until a server of the test's own says that its application has
// started. The tool says it, too, but takes a second or more of a processor each time.
func (s *Server) saysStarted(most time.Duration) bool {
	s.mu.Lock()
	log := s.log
	s.mu.Unlock()
	for end := time.Now().Add(most); log != nil && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if strings.Contains(log.String(), "Starting broker... completed") {
			return true
		}
	}
	return false
}

// VHosts returns a RabbitMQ server as so many, each a virtual host of it with nothing in
// common with the others. One that is given is returned as it is.
func (s *Server) VHosts(t testing.TB, n int) []*Server {
	t.Helper()
	all := make([]*Server, n)
	for i := range all {
		all[i] = s
	}
	if !s.Own {
		return all
	}
	for i := range all {
		all[i] = &Server{Addr: s.Addr, URL: s.URL + "/test-" + strconv.Itoa(i), Own: true, Env: s.Env, log: s.log}
	}
	// All at once: the tool takes long to start.
	s.RabbitMQCtl(t, "eval", fmt.Sprintf(`[begin V = iolist_to_binary(io_lib:format("test-~b", [I])), rabbit_vhost:add(V, <<"guest">>),
		ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, V, <<".*">>, <<".*">>, <<".*">>, <<"guest">>) end || I <- lists:seq(0, %d)], ok.`, n-1))
	return all
}

func (s *Server) tool(t testing.TB, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, find(t, "rabbitmq", "/usr/lib/rabbitmq/bin/"+name, name), args...)
	c.Env = s.Env
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
