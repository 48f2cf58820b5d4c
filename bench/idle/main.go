// Command idle is a program of a hundred resources that do nothing: what the engine alone takes.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		for i := range 100 {
			if err := ctx.RegisterComponentResource("idle:index:Nothing", fmt.Sprintf("nothing-%d", i), &struct{ pulumi.ResourceState }{}); err != nil {
				return err
			}
		}
		return nil
	})
}
