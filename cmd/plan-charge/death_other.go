//go:build !linux

package main

import "syscall"

// endWithUs cannot be had: the command ends when it finds its connection closed.
func endWithUs() *syscall.SysProcAttr { return nil }
