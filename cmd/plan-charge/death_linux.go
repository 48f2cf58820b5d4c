package main

import "syscall"

// endWithUs has a command ended when this process dies, however it dies.
func endWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
