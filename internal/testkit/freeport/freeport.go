// Package freeport finds ports for what can only be told a number.
package freeport

import "net"

// Find returns a port that nobody listens on, at any address. It panics where the system has none.
func Find() int {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
