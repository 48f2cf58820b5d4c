//go:build !linux

package vpc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
)

type namespace struct{}

func newNamespace(string) (*namespace, error) {
	return nil, errors.New("network namespaces are Linux's")
}

func (s *namespace) do(func() error) error                          { return net.ErrClosed }
func (s *namespace) dial(context.Context, string) (net.Conn, error) { return nil, net.ErrClosed }
func (s *namespace) close()                                         {}
func addAddress(string, netip.Addr) error                           { return net.ErrClosed }

// Rights changes nothing: there are no private networks here.
func Rights(*syscall.SysProcAttr) {}

// EndWithParent changes nothing: there is no such thing here.
func EndWithParent(*syscall.SysProcAttr, syscall.Signal) {}
