package access

import (
	"fmt"
	"net"
	"strings"
)

// An OpenError is returned for an address that others can reach while nothing is
// asked of them.
type OpenError struct {
	// Address is the one to listen on.
	Address string
}

// Error says what to do.
func (e *OpenError) Error() string {
	return fmt.Sprintf("%q can be reached from other machines, and there are no credentials: whoever reaches it may do everything; "+
		"set a password or a token, or listen on 127.0.0.1", e.Address)
}

// CheckListen refuses with an *OpenError to listen on an address beyond loopback
// without credentials, unless that is meant. address is HOST:PORT or a host; an
// empty host is all addresses.
func CheckListen(address string, credentials, insecure bool) error {
	if credentials || insecure || IsLoopback(address) {
		return nil
	}
	return &OpenError{address}
}

// IsLoopback reports whether an address, HOST:PORT or a host, is reached from
// this machine only. A name other than localhost is taken for one that is not: it
// may change what it stands for.
func IsLoopback(address string) bool {
	name := hostName(address)
	ip := net.ParseIP(name)
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback()
}

// hostName takes port, brackets and the final dot off a host.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}
