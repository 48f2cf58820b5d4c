package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// tickEvery is how often a service is looked at while tasks come or go, and restEvery otherwise.
	tickEvery = 250 * time.Millisecond
	restEvery = time.Second
	// steadyAfter is how long a task without any health check has to run to count as healthy.
	steadyAfter = 3 * time.Second
	// retryAfter is the pause after a failed task, which grows with each one up to retryAtMost.
	retryAfter  = time.Second
	retryAtMost = 30 * time.Second
	// showFailed is how long a failed deployment can be seen at least before its rollback is complete.
	showFailed = 5 * time.Second
	// keepOutcome is how long a stopped task is remembered, as AWS does.
	keepOutcome = time.Hour
)

// scheduler is the service scheduler of ECS: it keeps the tasks of each service running, rolls new versions out and back.
// Tasks themselves are the emulator's.
type scheduler struct {
	api    *awsAPI
	lb     *balancer
	docker *docker
	groups *groups // nil without a private network
	bake   time.Duration
	log    *slog.Logger
	file   string

	mu       sync.Mutex
	services map[string]*service
	outcomes map[string]outcome // by task ARN
	checks   map[string]*healthCheck
	saved    []byte
	wake     chan struct{}
}

type schedulerState struct {
	Services map[string]*service `json:"services"`
	Outcomes map[string]outcome  `json:"outcomes"`
}

func newScheduler(file string, api *awsAPI, lb *balancer, d *docker, bake time.Duration, log *slog.Logger) (*scheduler, error) {
	s := &scheduler{
		api: api, lb: lb, docker: d, bake: bake, log: log, file: file, services: map[string]*service{}, outcomes: map[string]outcome{},
		checks: map[string]*healthCheck{}, wake: make(chan struct{}, 1),
	}
	return s, readState(file, &schedulerState{s.services, s.outcomes})
}

// save writes the state if it changed. s.mu is held.
func (s *scheduler) save() {
	for arn, o := range s.outcomes {
		if time.Since(o.At) > keepOutcome && o.StopCode != "" {
			delete(s.outcomes, arn)
		}
	}
	data, err := json.Marshal(schedulerState{s.services, s.outcomes})
	if err == nil && slices.Equal(data, s.saved) {
		return
	}
	if err == nil {
		err = writeState(s.file, json.RawMessage(data))
	}
	if err != nil {
		s.log.Error("keep the services' state", "error", err)
		return
	}
	s.saved = data
}

func (s *scheduler) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run looks after every service until ctx ends.
func (s *scheduler) run(ctx context.Context) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.checks {
			c.cancel()
		}
		s.save()
	}()
	for {
		pause := restEvery
		s.mu.Lock()
		keys := make([]string, 0, len(s.services))
		for key, svc := range s.services {
			if svc.Status != "INACTIVE" {
				keys = append(keys, key)
			}
		}
		s.mu.Unlock()
		var wg sync.WaitGroup
		var busy sync.Map
		for _, key := range keys {
			wg.Go(func() {
				if s.tick(ctx, key) {
					busy.Store(key, true)
				}
			})
		}
		wg.Wait()
		busy.Range(func(any, any) bool { pause = tickEvery; return false })
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-time.After(pause):
		}
	}
}

// view is what the emulator tells of a task.
type view struct {
	TaskArn       string
	LastStatus    string
	DesiredStatus string
	StopCode      string
	StoppedReason string
	Attachments   []struct {
		Details []struct{ Name, Value string }
	}
	Overrides map[string]any
}

// reason is why it stopped, as ECS would say it.
func (v *view) reason() string {
	return cmp.Or(unpin(map[string]any{"overrides": v.Overrides}), v.StoppedReason)
}

func (v *view) ip() string {
	for _, a := range v.Attachments {
		for _, d := range a.Details {
			if d.Name == "privateIPv4Address" {
				return d.Value
			}
		}
	}
	return ""
}

// deed is something to be done for a service outside the lock.
type deed func(ctx context.Context)

// tick takes a service one step further. It returns whether more is to be expected soon.
func (s *scheduler) tick(ctx context.Context, key string) bool {
	s.mu.Lock()
	svc := s.services[key]
	var arns []string
	for _, d := range svc.Deployments {
		for _, t := range d.Tasks {
			arns = append(arns, t.ARN)
		}
	}
	cluster := svc.ClusterARN
	roll := svc.rollout()
	var watched *deployment
	if d := svc.primary(); d != nil && d.State == inProgress && roll.Alarms.Enable {
		watched = d
	}
	s.mu.Unlock()

	views, err := s.views(ctx, cluster, arns)
	if err != nil {
		return true // the emulator is away: nothing is known, so nothing is done
	}
	ringing := ""
	if watched != nil {
		if ringing, err = s.ringing(ctx, roll.Alarms.AlarmNames); err != nil {
			watched = nil // nothing is known of its alarms, so nothing is concluded
		}
	}

	s.mu.Lock()
	deeds := s.plan(svc, views, watched, ringing)
	busy := len(deeds) > 0
	for _, d := range svc.Deployments {
		busy = busy || d.State == inProgress || d.Status != "PRIMARY" || len(d.Tasks) != d.Desired && d.State != failed
	}
	s.save()
	s.mu.Unlock()

	var wg sync.WaitGroup
	for _, do := range deeds {
		wg.Go(func() { do(ctx) })
	}
	wg.Wait()
	return busy
}

// views asks the emulator for tasks, a hundred at a time.
func (s *scheduler) views(ctx context.Context, cluster string, arns []string) (map[string]*view, error) {
	all := map[string]*view{}
	for chunk := range slices.Chunk(arns, 100) {
		var out struct{ Tasks []*view }
		if err := s.api.ecs(ctx, "DescribeTasks", map[string]any{"cluster": cluster, "tasks": chunk}, &out); err != nil {
			return nil, err
		}
		for _, v := range out.Tasks {
			all[v.TaskArn] = v
		}
	}
	return all, nil
}

// ringing returns the first of the alarms that is in state ALARM.
func (s *scheduler) ringing(ctx context.Context, names []string) (string, error) {
	form := url.Values{"StateValue": {"ALARM"}}
	for i, name := range names {
		form.Set(fmt.Sprintf("AlarmNames.member.%d", i+1), name)
	}
	var out struct {
		Metric []struct{ AlarmName, StateValue string } `xml:"DescribeAlarmsResult>MetricAlarms>member"`
	}
	if err := s.api.cloudwatch(ctx, "DescribeAlarms", form, &out); err != nil {
		return "", err
	}
	for _, a := range out.Metric {
		if a.StateValue == "ALARM" && slices.Contains(names, a.AlarmName) {
			return a.AlarmName, nil
		}
	}
	return "", nil
}

// plan updates a service from what was seen and decides what to do next. watched is the deployment whose alarms were
// looked at, nil for none: a newer one may have become primary since, and nothing was seen of that one's. s.mu is held.
func (s *scheduler) plan(svc *service, views map[string]*view, watched *deployment, ringing string) []deed {
	now := time.Now()
	roll, attached := svc.rollout(), svc.attachments()
	var deeds []deed
	for _, d := range svc.Deployments {
		var live []*task
		for _, t := range d.Tasks {
			keep, more := s.look(svc, d, t, views[t.ARN], attached, now)
			deeds = append(deeds, more...)
			if keep {
				live = append(live, t)
			}
		}
		d.Tasks = live
	}
	primary := svc.primary()
	if svc.Status == "DRAINING" {
		left := 0
		for _, d := range svc.Deployments {
			for _, t := range d.Tasks {
				left++
				deeds = append(deeds, s.stop(svc, t, "ServiceSchedulerInitiated", "Service deleted")...)
			}
		}
		if left == 0 {
			svc.Status = "INACTIVE"
			svc.Deployments = nil
		}
		return append(deeds, s.withdrawStale(svc, attached)...)
	}
	if primary == nil {
		return deeds
	}
	primary.Desired = svc.Desired
	if primary.State == inProgress {
		switch {
		case roll.Breaker.Enable && primary.Failed >= threshold(svc.Desired):
			s.fail(svc, primary, roll.Breaker.Rollback, "ECS deployment circuit breaker: tasks failed to start.", "tasks failed to start.", "ECS deployment circuit breaker: ")
		case primary != watched: // its alarms are looked at in the next step
		case ringing == "":
			primary.quiet = true
		case primary.quiet && primary.RolledBack == "":
			s.fail(svc, primary, roll.Alarms.Rollback, "ECS deployment failed: alarm detected: "+ringing+".", "alarm detected.", "ECS deployment alarm: ")
		}
		primary = svc.primary()
	}
	deeds = append(deeds, s.scale(svc, primary, roll, now)...)
	s.finish(svc, primary, roll, now)
	return append(deeds, s.withdrawStale(svc, attached)...)
}

// look updates one task; keep is false once it has stopped.
func (s *scheduler) look(svc *service, d *deployment, t *task, v *view, attached []attachment, now time.Time) (keep bool, deeds []deed) {
	if v == nil || v.LastStatus == "STOPPED" {
		s.forget(t)
		lost := v == nil || v.StopCode == "" // its emulator was started again
		if !t.Stopping && !lost {
			s.taskFailed(svc, d, t, v.reason(), now)
		}
		return false, nil
	}
	t.Status, t.IP = v.LastStatus, v.ip()
	if t.Status != "RUNNING" || t.Stopping {
		t.ready = false
		if t.Stopping && !t.withdrawn { // its stop was interrupted with the gateway
			return true, s.stop(svc, t, "ServiceSchedulerInitiated", s.outcomes[t.ARN].Reason)
		}
		return true, nil
	}
	if t.Started.IsZero() {
		t.Started = now
		svc.event("has started 1 tasks: (task %s).", path.Base(t.ARN))
	}
	check := s.watch(svc, d, t)
	if len(attached) > 0 && !t.registered && t.IP != "" {
		t.registered = true
		deeds = append(deeds, s.register(svc, t, attached))
	}
	ready := len(attached) > 0 || check.exists() || now.Sub(t.Started) >= steadyAfter
	sick := ""
	if health := check.state(); check.exists() {
		ready = ready && health == "HEALTHY"
		if health == "UNHEALTHY" {
			sick = "Task failed container health checks"
		}
		s.setHealth(t.ARN, health)
	}
	for _, a := range attached {
		state, reason, detail := s.lb.health(a.TargetGroupArn, t.IP, a.ContainerPort)
		ready = ready && state == "healthy"
		if state == "unhealthy" && now.Sub(t.Started) >= svc.grace() {
			sick = fmt.Sprintf("Task failed ELB health checks in (target-group %s): %s: %s", a.TargetGroupArn, reason, detail)
			svc.event("(port %d) is unhealthy in (target-group %s) due to (reason %s).", a.ContainerPort, a.TargetGroupArn, detail)
		}
	}
	if ready && !t.ready {
		t.ready = true
		if d.State == inProgress {
			d.Failed = 0 // only consecutive failures count
		}
	}
	t.ready = ready
	if sick != "" {
		s.taskFailed(svc, d, t, sick, now)
		deeds = append(deeds, s.stop(svc, t, "ServiceSchedulerInitiated", sick)...)
	}
	return true, deeds
}

func (s *scheduler) taskFailed(svc *service, d *deployment, t *task, reason string, now time.Time) {
	d.Failed++
	d.Updated = now
	d.next = now.Add(min(retryAtMost, retryAfter<<min(d.Failed-1, 5)))
	svc.event("(task %s) stopped: %s", path.Base(t.ARN), reason)
	s.log.Info("a task failed", "service", svc.Name, "task", path.Base(t.ARN), "deployment", d.ID, "failed", d.Failed, "reason", reason)
}

// fail ends a deployment, and with back returns to the last completed one.
func (s *scheduler) fail(svc *service, d *deployment, back bool, reason, short, why string) {
	d.State, d.Reason, d.Updated = failed, reason, time.Now()
	svc.event("(deployment %s) deployment failed: %s", d.ID, short)
	s.log.Info("a deployment failed", "service", svc.Name, "deployment", d.ID, "reason", reason)
	if !back {
		return
	}
	for _, old := range svc.Deployments {
		if old == d || !old.Once {
			continue
		}
		d.Status, d.Desired = "ACTIVE", 0
		old.Status, old.Desired, old.State, old.Failed, old.Updated = "PRIMARY", svc.Desired, inProgress, 0, time.Now()
		old.Reason = why + "rolling back to deploymentId " + old.ID + "."
		old.RolledBack, old.failedAt, old.settled, old.next = d.ID, time.Now(), time.Time{}, time.Time{}
		svc.event("rolling back to (deployment %s).", old.ID)
		return
	}
}

// scale starts and stops tasks within the bounds of the deployment's percentages.
func (s *scheduler) scale(svc *service, primary *deployment, roll rollout, now time.Time) []deed {
	var deeds []deed
	total, ready := 0, 0
	for _, d := range svc.Deployments {
		for _, t := range d.Tasks {
			if !t.Stopping {
				total++
				if t.ready {
					ready++
				}
			}
		}
	}
	var mine []*task
	for _, t := range primary.Tasks {
		if !t.Stopping {
			mine = append(mine, t)
		}
	}
	switch need := svc.Desired - len(mine); {
	case need > 0 && primary.State != failed && !now.Before(primary.next):
		limit := roll.maximum(svc.Desired)
		if svc.Desired > 0 && len(svc.Deployments) > 1 && limit <= total && roll.minimum(svc.Desired) >= total {
			limit = total + 1 // neither up nor down is allowed: ECS would never end
		}
		for range min(need, limit-total) {
			deeds = append(deeds, s.launch(svc, primary))
		}
	case need < 0:
		// The newest go first, and those that serve nothing before them.
		slices.SortStableFunc(mine, func(a, b *task) int {
			if a.ready != b.ready {
				if b.ready {
					return -1
				}
				return 1
			}
			return b.Started.Compare(a.Started)
		})
		for _, t := range mine[:-need] {
			deeds = append(deeds, s.stop(svc, t, "ServiceSchedulerInitiated", "Scaling activity initiated by (deployment "+primary.ID+")")...)
		}
	}
	// Old tasks go as far as the healthy ones stay enough.
	floor := roll.minimum(svc.Desired)
	if primary.State == failed {
		floor = ready // nothing replaces them
	}
	for _, d := range svc.Deployments {
		if d == primary {
			continue
		}
		for _, t := range d.Tasks {
			if t.Stopping || t.ready && ready <= floor {
				continue
			}
			if !t.ready && d.State != failed && primary.State == failed {
				continue
			}
			if t.ready {
				ready--
			}
			deeds = append(deeds, s.stop(svc, t, "ServiceSchedulerInitiated", "Scaling activity initiated by (deployment "+primary.ID+")")...)
		}
	}
	return deeds
}

// finish completes the primary deployment when all of it is healthy and the old tasks are gone.
func (s *scheduler) finish(svc *service, primary *deployment, roll rollout, now time.Time) {
	var rest []*deployment
	gone := true
	for _, d := range svc.Deployments {
		if d != primary && len(d.Tasks) > 0 {
			gone = false
		}
		if d == primary || len(d.Tasks) > 0 || primary.State != completed {
			rest = append(rest, d)
		}
	}
	svc.Deployments = rest
	if primary.State != inProgress {
		return
	}
	ready := 0
	for _, t := range primary.Tasks {
		if t.ready && !t.Stopping {
			ready++
		}
	}
	if ready < svc.Desired || len(primary.Tasks) > svc.Desired || !gone {
		primary.settled = time.Time{}
		return
	}
	if primary.settled.IsZero() {
		primary.settled = now
	}
	if now.Sub(primary.failedAt) < showFailed {
		return
	}
	// A first version has nothing to go back to, so that watching it is of no use.
	if roll.Alarms.Enable && primary.RolledBack == "" && slices.ContainsFunc(svc.Deployments, func(d *deployment) bool { return d.Once }) && now.Sub(primary.settled) < s.bake {
		primary.Reason = "ECS deployment " + primary.ID + " is baking: its alarms are watched."
		return
	}
	primary.State, primary.Reason, primary.Updated, primary.Once = completed, "ECS deployment "+primary.ID+" completed.", now, true
	primary.Failed = 0
	svc.event("(deployment %s) deployment completed.", primary.ID)
	svc.event("has reached a steady state.")
	svc.Deployments = []*deployment{primary}
	s.log.Info("a deployment completed", "service", svc.Name, "deployment", primary.ID)
}

// launch starts one task.
func (s *scheduler) launch(svc *service, d *deployment) deed {
	in := map[string]any{
		"cluster": svc.ClusterARN, "taskDefinition": d.TaskDefinition, "count": 1, "group": "service:" + svc.Name, "startedBy": d.ID,
	}
	for _, field := range []string{"launchType", "networkConfiguration", "platformVersion", "enableExecuteCommand"} {
		if value, ok := svc.Settings[field]; ok {
			in[field] = value
		}
	}
	var propagate string
	_ = json.Unmarshal(svc.Settings["propagateTags"], &propagate) // absent: nothing
	if propagate == "SERVICE" {
		in["tags"] = svc.Tags
	}
	return func(ctx context.Context) {
		var out struct{ Tasks []*view }
		_, err := s.pin(ctx, in)
		if err == nil {
			err = s.api.ecs(ctx, "RunTask", in, &out)
			s.groups.note(in["networkConfiguration"], out.Tasks)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case err != nil:
			if ctx.Err() != nil {
				return
			}
			d.next = time.Now().Add(retryAfter)
			var refused *apiError
			if errors.As(err, &refused) {
				d.Failed++
				svc.event("was unable to place a task: %s", refused.Message)
			}
		case len(out.Tasks) > 0:
			d.Tasks = append(d.Tasks, &task{ARN: out.Tasks[0].TaskArn, Status: out.Tasks[0].LastStatus})
		}
		s.save()
	}
}

// stop takes a task out of its target groups, waits for its requests and stops it. s.mu is held.
func (s *scheduler) stop(svc *service, t *task, code, reason string) []deed {
	if t.withdrawn {
		return nil
	}
	t.Stopping, t.withdrawn, t.ready = true, true, false
	s.outcomes[t.ARN] = outcome{StopCode: code, Reason: reason, Health: s.outcomes[t.ARN].Health, At: time.Now()}
	attached, ip, arn, cluster := svc.attachments(), t.IP, t.ARN, svc.ClusterARN
	failed := strings.HasPrefix(reason, "Task failed")
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		if failed {
			reason += s.unheard(ctx, arn, attached)
		}
		var wg sync.WaitGroup
		for _, a := range attached {
			if ip == "" {
				continue
			}
			wg.Go(func() {
				s.deregister(ctx, svc, a, ip)
				s.lb.withdraw(ctx, a.TargetGroupArn, ip, a.ContainerPort)
			})
		}
		wg.Wait()
		err := s.api.ecs(ctx, "StopTask", map[string]any{"cluster": cluster, "task": arn, "reason": reason}, nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			t.withdrawn = false // tried again at the next look
		}
		s.nudge()
	}()
	return nil
}

// unheard adds to a failed task's reason which port of it nobody listens on, as AWS cannot know.
func (s *scheduler) unheard(ctx context.Context, arn string, attached []attachment) string {
	for _, a := range attached {
		if silent := s.docker.silent(ctx, arn, a); silent != "" {
			s.mu.Lock()
			defer s.mu.Unlock()
			o := s.outcomes[arn]
			o.Reason += silent
			s.outcomes[arn] = o
			return silent
		}
	}
	return ""
}

func (s *scheduler) register(svc *service, t *task, attached []attachment) deed {
	ip := t.IP
	for _, a := range attached {
		if svc.Published == nil {
			svc.Published = map[string][]string{}
		}
		if !slices.Contains(svc.Published[a.TargetGroupArn], ip) {
			svc.Published[a.TargetGroupArn] = append(svc.Published[a.TargetGroupArn], ip)
		}
	}
	return func(ctx context.Context) {
		for _, a := range attached {
			form := url.Values{"TargetGroupArn": {a.TargetGroupArn}, "Targets.member.1.Id": {ip}, "Targets.member.1.Port": {fmt.Sprint(a.ContainerPort)}}
			if err := s.api.elb(ctx, "RegisterTargets", form, nil); err != nil {
				s.mu.Lock()
				t.registered = false
				svc.event("was unable to register a target in (target-group %s): %v", a.TargetGroupArn, err)
				s.mu.Unlock()
				continue
			}
			s.mu.Lock()
			svc.event("registered 1 targets in (target-group %s)", a.TargetGroupArn)
			s.mu.Unlock()
		}
		s.lb.changed()
	}
}

func (s *scheduler) deregister(ctx context.Context, svc *service, a attachment, ip string) {
	form := url.Values{"TargetGroupArn": {a.TargetGroupArn}, "Targets.member.1.Id": {ip}, "Targets.member.1.Port": {fmt.Sprint(a.ContainerPort)}}
	err := s.api.elb(ctx, "DeregisterTargets", form, nil)
	var refused *apiError
	s.mu.Lock()
	defer s.mu.Unlock()
	if (err == nil || errors.As(err, &refused)) && svc.Published != nil { // refused: the group is gone
		svc.Published[a.TargetGroupArn] = slices.DeleteFunc(svc.Published[a.TargetGroupArn], func(have string) bool { return have == ip })
		if len(svc.Published[a.TargetGroupArn]) == 0 {
			delete(svc.Published, a.TargetGroupArn)
		}
	}
	s.lb.changed()
}

// withdrawStale takes out addresses of tasks that are gone, such as those that ended by themselves. s.mu is held.
func (s *scheduler) withdrawStale(svc *service, attached []attachment) []deed {
	alive := map[string]bool{}
	for _, d := range svc.Deployments {
		for _, t := range d.Tasks {
			alive[t.IP] = true
		}
	}
	var deeds []deed
	for group, ips := range svc.Published {
		a := attachment{TargetGroupArn: group}
		for _, have := range attached {
			if have.TargetGroupArn == group {
				a = have
			}
		}
		for _, ip := range ips {
			if !alive[ip] {
				deeds = append(deeds, func(ctx context.Context) {
					s.deregister(ctx, svc, a, ip)
					s.lb.withdraw(ctx, a.TargetGroupArn, ip, a.ContainerPort)
				})
			}
		}
	}
	return deeds
}
