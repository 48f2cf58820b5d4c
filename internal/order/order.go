// Package order says what waits for what.
//
// A component is nothing that can be waited for. The Go SDK adds a component's children to it while they are being
// registered (Context.getOpts), at the same time as whatever depends on the component looks for them there; now and then
// one is missed, and a service starts before its migration has run. So only resources that have an id of their own are
// waited for, and the compiler sees to it: in this program nothing else gives pulumi.DependsOn its arguments.
package order

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// Step is a part of the deployment that another part waits for.
type Step interface {
	// Ready are the resources that are there when the step is done.
	Ready() []pulumi.CustomResource
}

// Done are the resources that are there when all the steps are done.
func Done(steps ...Step) []pulumi.CustomResource {
	var all []pulumi.CustomResource
	for _, step := range steps {
		all = append(all, step.Ready()...)
	}
	return all
}

// After makes a resource wait for others.
func After(resources ...pulumi.CustomResource) pulumi.ResourceOption {
	list := make([]pulumi.Resource, len(resources))
	for i, r := range resources {
		list[i] = r
	}
	return pulumi.DependsOn(list)
}
