package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// clusterARN completes a cluster's name as the emulator would.
func (s *scheduler) clusterARN(ctx context.Context, name string) (arn string, err error) {
	if name == "" {
		name = "default"
	}
	var out struct {
		Clusters []struct{ ClusterArn, Status string }
	}
	if err := s.api.ecs(ctx, "DescribeClusters", map[string]any{"clusters": []string{name}}, &out); err != nil {
		return "", err
	}
	if len(out.Clusters) == 0 || out.Clusters[0].Status != "ACTIVE" {
		return "", nil
	}
	return out.Clusters[0].ClusterArn, nil
}

func clusterName(ref string) string {
	if ref == "" {
		return "default"
	}
	return path.Base(ref)
}

// serviceRef splits a service's name or ARN; the cluster is empty where only a name was given.
func serviceRef(ref string) (cluster, name string) {
	if a, err := arn.Parse(ref); err == nil {
		ref = strings.TrimPrefix(a.Resource, "service/")
	}
	cluster, name = path.Split(ref)
	return strings.TrimSuffix(cluster, "/"), name
}

// sibling is the ARN of something else of the same account: of a service in its cluster, or of a role.
func sibling(of, service, resource string) string {
	a, err := arn.Parse(of)
	if err != nil {
		return resource
	}
	a.Service, a.Resource = service, resource
	if service == "iam" {
		a.Region = ""
	}
	return a.String()
}

func serviceARN(cluster, name string) string {
	return sibling(cluster, "ecs", "service/"+path.Base(cluster)+"/"+name)
}

// handle answers the calls that are about services.
func (s *scheduler) handle(ctx context.Context, c *call) *response {
	if c.service != "ecs" || c.protocol != jsonProtocol {
		return nil
	}
	switch c.action {
	case "CreateService":
		return s.create(ctx, c)
	case "UpdateService":
		return s.update(ctx, c)
	case "DeleteService":
		return s.delete(c)
	case "DescribeServices":
		return s.describe(ctx, c)
	case "ListServices":
		return s.list(c)
	case "TagResource", "UntagResource", "ListTagsForResource":
		return s.tags(c)
	case "ListServiceDeployments", "DescribeServiceDeployments", "DescribeServiceRevisions", "ListServicesByNamespace":
		return c.failure(http.StatusBadRequest, "UnsupportedFeatureException", c.action+notEmulated)
	case "RunTask":
		// A service goes on starting tasks of what was deregistered; nobody else may.
		if _, active, err := s.definition(ctx, text(c, "taskDefinition")); err == nil && !active {
			return c.failure(http.StatusBadRequest, clientException, inactive)
		}
		changed, err := s.pin(ctx, c.in())
		if err == nil && changed {
			c.body, err = json.Marshal(c.in())
		}
		if err != nil {
			return c.failure(http.StatusInternalServerError, serverException, err.Error())
		}
	case "DeleteCluster":
		name := clusterName(text(c, "cluster"))
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, svc := range s.services {
			if svc.Cluster == name && svc.Status != "INACTIVE" {
				return c.failure(http.StatusBadRequest, "ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active.")
			}
		}
	}
	return nil
}

// after returns how the emulator's answer has to be changed.
func (s *scheduler) after(c *call) func(context.Context, *call, *response) {
	if c.service != "ecs" {
		return nil
	}
	switch c.action {
	case "DescribeTasks", "StopTask", "RunTask":
		return s.mendTasks
	case "ListTasks":
		return s.mendTaskList
	case "DeleteCluster":
		return func(_ context.Context, _ *call, r *response) {
			if r.status >= 300 {
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			name := clusterName(text(c, "cluster"))
			maps.DeleteFunc(s.services, func(_ string, svc *service) bool { return svc.Cluster == name && svc.Status == "INACTIVE" })
			s.save()
		}
	}
	return nil
}

// Error codes of ECS that several calls answer.
const (
	clientException  = "ClientException"
	invalidParameter = "InvalidParameterException"
	serverException  = "ServerException"
)

// inactive is what ECS says of a deregistered task definition that is to be run or deployed.
const inactive = "TaskDefinition is inactive"

func text(c *call, key string) string {
	value, _ := c.in()[key].(string)
	return value
}

func noCluster(c *call) *response {
	return c.failure(http.StatusBadRequest, "ClusterNotFoundException", "Cluster not found.")
}

func notFoundService(c *call) *response {
	return c.failure(http.StatusBadRequest, "ServiceNotFoundException", "Service not found.")
}

// find returns the service that a call names. s.mu is held.
func (s *scheduler) find(cluster, ref string) *service {
	inner, name := serviceRef(ref)
	if inner == "" {
		inner = clusterName(cluster)
	}
	return s.services[inner+"/"+name]
}

// resolve completes a task definition (family, family:revision or ARN) to its ARN.
func (s *scheduler) resolve(ctx context.Context, c *call, ref string) (string, *response) {
	arn, active, err := s.definition(ctx, ref)
	if err != nil {
		return "", c.failure(http.StatusBadRequest, clientException, "Unable to describe task definition.")
	}
	if !active {
		return "", c.failure(http.StatusBadRequest, clientException, inactive)
	}
	return arn, nil
}

// definition completes a task definition to its ARN and tells whether it may be deployed.
func (s *scheduler) definition(ctx context.Context, ref string) (arn string, active bool, err error) {
	var out struct {
		TaskDefinition struct{ TaskDefinitionArn, Status string }
	}
	err = s.api.ecs(ctx, "DescribeTaskDefinition", map[string]string{"taskDefinition": ref}, &out)
	return out.TaskDefinition.TaskDefinitionArn, out.TaskDefinition.Status != "INACTIVE", err
}

// settings are the fields of a service that are kept as they were given.
var settings = []string{
	"launchType", "platformVersion", "networkConfiguration", "loadBalancers", "healthCheckGracePeriodSeconds", "schedulingStrategy",
	"deploymentController", "deploymentConfiguration", "enableECSManagedTags", "propagateTags", "enableExecuteCommand",
	"availabilityZoneRebalancing",
}

// replacing are the settings whose change needs new tasks.
var replacing = []string{"launchType", "platformVersion", "networkConfiguration", "loadBalancers", "enableExecuteCommand"}

func raw(c *call) map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	_ = json.Unmarshal(c.body, &fields) // the body was decoded before
	return fields
}

func (s *scheduler) create(ctx context.Context, c *call) *response {
	name := text(c, "serviceName")
	if name == "" {
		return c.failure(http.StatusBadRequest, invalidParameter, "serviceName is required")
	}
	cluster, err := s.clusterARN(ctx, text(c, "cluster"))
	if err != nil {
		return c.failure(http.StatusInternalServerError, serverException, err.Error())
	}
	if cluster == "" {
		return noCluster(c)
	}
	definition, refused := s.resolve(ctx, c, text(c, "taskDefinition"))
	if refused != nil {
		return refused
	}
	in := raw(c)
	desired := 0
	if value, ok := c.in()["desiredCount"].(float64); ok {
		desired = int(value)
	}
	for _, a := range (&service{Settings: in}).attachments() {
		if a.TargetGroupArn == "" {
			continue
		}
		s.lb.changed()
		s.lb.refresh(ctx)
		s.lb.mu.Lock()
		group := s.lb.config.groups[a.TargetGroupArn]
		s.lb.mu.Unlock()
		switch {
		case group == nil:
			return c.failure(http.StatusBadRequest, invalidParameter, "Unable to assume the service linked role or the target group does not exist: "+a.TargetGroupArn)
		case len(group.Balancers) == 0:
			return c.failure(http.StatusBadRequest, invalidParameter, "The target group with targetGroupArn "+a.TargetGroupArn+" does not have an associated load balancer.")
		}
	}
	if lacks := s.lacks(ctx, definition, (&service{Settings: in}).attachments()); lacks != "" {
		return c.failure(http.StatusBadRequest, invalidParameter, lacks)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := path.Base(cluster) + "/" + name
	if old := s.services[key]; old != nil && old.Status != "INACTIVE" {
		message := "Creation of service was not idempotent."
		if old.Status == "DRAINING" {
			message = "Unable to Start a service that is still Draining."
		}
		return c.failure(http.StatusBadRequest, invalidParameter, message)
	}
	svc := &service{
		ARN: serviceARN(cluster, name), Name: name, Cluster: path.Base(cluster), ClusterARN: cluster,
		Status: "ACTIVE", Desired: desired, Settings: map[string]json.RawMessage{}, Created: time.Now(),
	}
	_ = json.Unmarshal(in["tags"], &svc.Tags) // absent: none
	for _, field := range settings {
		if value, ok := in[field]; ok && string(value) != "null" {
			svc.Settings[field] = value
		}
	}
	svc.deploy(definition)
	s.services[key] = svc
	s.save()
	s.nudge()
	return c.ok(map[string]any{"service": svc.answer(false)})
}

// merged is an object with those fields replaced that another has: the AWS provider sends the part of a deployment
// configuration that it changes, and relies on AWS to keep the others.
func merged(object, with json.RawMessage) json.RawMessage {
	fields := map[string]json.RawMessage{}
	_ = json.Unmarshal(object, &fields) // absent: none
	_ = json.Unmarshal(with, &fields)
	all, err := json.Marshal(fields)
	if err != nil {
		return with
	}
	return all
}

func (s *scheduler) update(ctx context.Context, c *call) *response {
	definition := ""
	if ref := text(c, "taskDefinition"); ref != "" {
		var refused *response
		if definition, refused = s.resolve(ctx, c, ref); refused != nil {
			return refused
		}
	}
	in := raw(c)
	deployed, attachments := s.updated(c, definition, in)
	if lacks := s.lacks(ctx, deployed, attachments); lacks != "" {
		return c.failure(http.StatusBadRequest, invalidParameter, lacks)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.find(text(c, "cluster"), text(c, "service"))
	if svc == nil {
		return notFoundService(c)
	}
	if svc.Status != "ACTIVE" {
		return c.failure(http.StatusBadRequest, "ServiceNotActiveException", "Service was not ACTIVE.")
	}
	if value, ok := c.in()["desiredCount"].(float64); ok {
		svc.Desired = int(value)
	}
	deploy, _ := c.in()["forceNewDeployment"].(bool)
	for _, field := range settings {
		value, ok := in[field]
		if !ok || string(value) == "null" {
			continue
		}
		if slices.Contains(replacing, field) && !sameJSON(svc.Settings[field], value) {
			deploy = true
		}
		if field == "deploymentConfiguration" {
			value = merged(svc.Settings[field], value)
		}
		svc.Settings[field] = value
	}
	primary := svc.primary()
	if definition == "" {
		definition = primary.TaskDefinition
	}
	if deploy || definition != primary.TaskDefinition {
		svc.deploy(definition)
	}
	primary = svc.primary()
	primary.Desired = svc.Desired
	s.save()
	s.nudge()
	return c.ok(map[string]any{"service": svc.answer(false)})
}

// updated is what a service runs after an update, and where requests go then.
func (s *scheduler) updated(c *call, definition string, in map[string]json.RawMessage) (string, []attachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.find(text(c, "cluster"), text(c, "service"))
	if svc == nil || svc.primary() == nil {
		return definition, nil
	}
	if definition == "" {
		definition = svc.primary().TaskDefinition
	}
	if _, given := in["loadBalancers"]; given {
		return definition, (&service{Settings: in}).attachments()
	}
	return definition, svc.attachments()
}

// lacks says which container or port of a service's load balancers its task definition does not have.
func (s *scheduler) lacks(ctx context.Context, definition string, attachments []attachment) string {
	var out struct {
		TaskDefinition struct {
			ContainerDefinitions []struct {
				Name         string
				PortMappings []struct{ ContainerPort int }
			}
		}
	}
	if len(attachments) == 0 || s.api.ecs(ctx, "DescribeTaskDefinition", map[string]string{"taskDefinition": definition}, &out) != nil {
		return ""
	}
	for _, a := range attachments {
		found, mapped := false, false
		for _, container := range out.TaskDefinition.ContainerDefinitions {
			if container.Name == a.ContainerName {
				found = true
				for _, m := range container.PortMappings {
					mapped = mapped || m.ContainerPort == a.ContainerPort
				}
			}
		}
		switch {
		case !found:
			return "The container " + a.ContainerName + " does not exist in the task definition."
		case !mapped:
			return fmt.Sprintf("The container %s did not have a container port %d defined.", a.ContainerName, a.ContainerPort)
		}
	}
	return ""
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func (s *scheduler) delete(c *call) *response {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.find(text(c, "cluster"), text(c, "service"))
	if svc == nil || svc.Status == "INACTIVE" {
		return notFoundService(c)
	}
	force, _ := c.in()["force"].(bool)
	if svc.Desired > 0 && !force {
		return c.failure(http.StatusBadRequest, invalidParameter, "The service cannot be stopped while it is scaled above 0.")
	}
	svc.Status, svc.Desired = "DRAINING", 0
	s.save()
	s.nudge()
	return c.ok(map[string]any{"service": svc.answer(false)})
}

func (s *scheduler) describe(ctx context.Context, c *call) *response {
	cluster, err := s.clusterARN(ctx, text(c, "cluster"))
	if err != nil {
		return c.failure(http.StatusInternalServerError, serverException, err.Error())
	}
	if cluster == "" {
		return noCluster(c)
	}
	include, _ := c.in()["include"].([]any)
	s.mu.Lock()
	defer s.mu.Unlock()
	found, failures := []any{}, []any{}
	refs, _ := c.in()["services"].([]any)
	for _, r := range refs {
		ref, _ := r.(string)
		svc := s.find(text(c, "cluster"), ref)
		if svc == nil || svc.ClusterARN != cluster {
			arn := ref
			if !strings.HasPrefix(ref, "arn:") {
				arn = serviceARN(cluster, ref)
			}
			failures = append(failures, map[string]string{"arn": arn, "reason": "MISSING"})
			continue
		}
		found = append(found, svc.answer(slices.Contains(include, any("TAGS"))))
	}
	return c.ok(map[string]any{"services": found, "failures": failures})
}

// bound brings a service's desired count into the bounds of its scalable target.
func (s *scheduler) bound(resource string, low, high int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.services[strings.TrimPrefix(resource, "service/")]
	if svc == nil || svc.Status != "ACTIVE" {
		return
	}
	if within := min(max(svc.Desired, low), high); within != svc.Desired {
		svc.event("desired count set to %d by its scalable target.", within)
		svc.Desired = within
		s.save()
		s.nudge()
	}
}

func (s *scheduler) list(c *call) *response {
	s.mu.Lock()
	defer s.mu.Unlock()
	arns := []string{}
	for _, svc := range s.services {
		if svc.Cluster == clusterName(text(c, "cluster")) && svc.Status == "ACTIVE" {
			arns = append(arns, svc.ARN)
		}
	}
	slices.Sort(arns)
	return c.ok(map[string]any{"serviceArns": arns})
}

// tags answers for services; other resources are the emulator's.
func (s *scheduler) tags(c *call) *response {
	arn := text(c, "resourceArn")
	if !strings.Contains(arn, ":service/") {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.find("", arn)
	if svc == nil {
		return c.failure(http.StatusBadRequest, invalidParameter, "The specified service is inactive.")
	}
	var in struct {
		Tags    []tag
		TagKeys []string
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return c.failure(http.StatusBadRequest, invalidParameter, err.Error())
	}
	switch c.action {
	case "ListTagsForResource":
		return c.ok(map[string]any{"tags": svc.tagList()})
	case "TagResource":
		for _, t := range in.Tags {
			svc.Tags = append(slices.DeleteFunc(svc.Tags, func(have tag) bool { return have.Key == t.Key }), t)
		}
	case "UntagResource":
		svc.Tags = slices.DeleteFunc(svc.Tags, func(have tag) bool { return slices.Contains(in.TagKeys, have.Key) })
	}
	s.save()
	return c.ok(map[string]any{})
}

func (s *service) tagList() []tag {
	if s.Tags == nil {
		return []tag{}
	}
	return s.Tags
}

func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (d *deployment) counts() (running, pending int) {
	for _, t := range d.Tasks {
		switch {
		case t.Status == "RUNNING" && !t.Stopping:
			running++
		case !t.Stopping:
			pending++
		}
	}
	return running, pending
}

// answer is the service as DescribeServices tells it.
func (s *service) answer(tags bool) map[string]any {
	a := map[string]any{
		"serviceArn": s.ARN, "serviceName": s.Name, "clusterArn": s.ClusterARN, "status": s.Status, "desiredCount": s.Desired,
		"createdAt": epoch(s.Created), "createdBy": sibling(s.ARN, "iam", "root"),
		"roleArn":       sibling(s.ARN, "iam", "role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"),
		"loadBalancers": []any{}, "serviceRegistries": []any{}, "placementConstraints": []any{}, "placementStrategy": []any{},
		"schedulingStrategy": "REPLICA", "deploymentController": map[string]string{"type": "ECS"}, "enableECSManagedTags": false,
		"propagateTags": "NONE", "enableExecuteCommand": false, "healthCheckGracePeriodSeconds": 0, "availabilityZoneRebalancing": "DISABLED",
		"platformFamily": "Linux", "platformVersion": "LATEST", "launchType": "EC2",
	}
	for field, value := range s.Settings {
		a[field] = value
	}
	var config map[string]any
	_ = json.Unmarshal(s.Settings["deploymentConfiguration"], &config) // absent: the defaults
	if config == nil {
		config = map[string]any{}
	}
	for field, value := range map[string]any{
		"maximumPercent": 200, "minimumHealthyPercent": 100, "deploymentCircuitBreaker": map[string]bool{"enable": false, "rollback": false}, "strategy": "ROLLING",
	} {
		if config[field] == nil {
			config[field] = value
		}
	}
	a["deploymentConfiguration"] = config
	running, pending := 0, 0
	deployments := []any{}
	for _, d := range s.Deployments {
		r, p := d.counts()
		running, pending = running+r, pending+p
		one := map[string]any{
			"id": d.ID, "status": d.Status, "taskDefinition": d.TaskDefinition, "desiredCount": d.Desired, "runningCount": r, "pendingCount": p,
			"failedTasks": d.Failed, "createdAt": epoch(d.Created), "updatedAt": epoch(d.Updated), "rolloutState": d.State, "rolloutStateReason": d.Reason,
			"platformFamily": "Linux", "platformVersion": "1.4.0",
		}
		for _, field := range []string{"launchType", "networkConfiguration"} {
			if value, ok := s.Settings[field]; ok {
				one[field] = value
			}
		}
		deployments = append(deployments, one)
	}
	a["deployments"], a["runningCount"], a["pendingCount"] = deployments, running, pending
	if p := s.primary(); p != nil {
		a["taskDefinition"] = p.TaskDefinition
	}
	events := []any{}
	for _, e := range s.Events {
		events = append(events, map[string]any{"id": e.ID, "createdAt": epoch(e.Created), "message": e.Message})
	}
	a["events"] = events
	if tags {
		a["tags"] = s.tagList()
	}
	return a
}

// mendTasks adds what only the scheduler knows of tasks: health, and why it stopped them. It also names a missing image as
// AWS does.
func (s *scheduler) mendTasks(_ context.Context, c *call, r *response) {
	var out map[string]any
	if r.status >= 300 || json.Unmarshal(r.body, &out) != nil {
		return
	}
	list, _ := out["tasks"].([]any)
	if one, ok := out["task"].(map[string]any); ok {
		list = append(list, one)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, item := range list {
		t, ok := item.(map[string]any)
		if !ok {
			continue
		}
		refused := unpin(t)
		arn, _ := t["taskArn"].(string)
		o := s.outcomes[arn]
		if o.Health != "" {
			t["healthStatus"] = o.Health
			containers, _ := t["containers"].([]any)
			for _, item := range containers {
				if container, ok := item.(map[string]any); ok {
					container["healthStatus"] = o.Health
				}
			}
		}
		if t["lastStatus"] != "STOPPED" {
			for _, key := range []string{"stopCode", "stoppedReason"} {
				if t[key] == "" {
					delete(t, key)
				}
			}
			continue
		}
		t["desiredStatus"] = "STOPPED" // an emulator that was started again forgets this
		if t["stoppedReason"] == "" {
			t["stoppedReason"] = "The sandbox was restarted"
		}
		if o.StopCode != "" && t["stopCode"] == "UserInitiated" {
			t["stopCode"], t["stoppedReason"] = o.StopCode, o.Reason
		}
		if refused != "" && t["stopCode"] != "UserInitiated" {
			t["stopCode"], t["stoppedReason"] = "TaskFailedToStart", refused
		}
		reason, _ := t["stoppedReason"].(string)
		if t["stopCode"] == "TaskFailedToStart" && (strings.Contains(reason, "manifest unknown") || strings.Contains(reason, "No such image")) {
			image := ""
			containers, _ := t["containers"].([]any)
			for _, item := range containers {
				if container, ok := item.(map[string]any); ok && image == "" {
					image, _ = container["image"].(string)
				}
			}
			t["stoppedReason"] = fmt.Sprintf("CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref %s: %s: not found", image, image)
		}
	}
	if body, err := json.Marshal(out); err == nil {
		r.body = body
	}
}

// mendTaskList leaves out tasks that ended with an earlier emulator and still count as running with this one.
func (s *scheduler) mendTaskList(ctx context.Context, c *call, r *response) {
	var out map[string]any
	if r.status >= 300 || json.Unmarshal(r.body, &out) != nil || text(c, "desiredStatus") == "STOPPED" {
		return
	}
	list, _ := out["taskArns"].([]any)
	var arns []string
	for _, item := range list {
		if arn, ok := item.(string); ok {
			arns = append(arns, arn)
		}
	}
	views, err := s.views(ctx, clusterName(text(c, "cluster")), arns)
	if err != nil {
		return
	}
	kept := slices.DeleteFunc(arns, func(arn string) bool { return views[arn] != nil && views[arn].LastStatus == "STOPPED" })
	if len(kept) == len(list) {
		return
	}
	out["taskArns"] = append([]string{}, kept...)
	if body, err := json.Marshal(out); err == nil {
		r.body = body
	}
}
