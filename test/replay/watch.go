package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"

	"plan-charge/sandbox/report"
)

const (
	watchEvery = 200 * time.Millisecond // for faults
	askEvery   = time.Second            // for what users see: each request that fails leaves a long trace in the service's log
	lookLimit  = 5 * time.Second
)

// symptom is something wrong that can be seen from outside.
type symptom struct {
	what  string
	fault bool // one of the incident's four causes; the others are what users see of them
	// look says what there is to see, and whether it is as it should be.
	look func(ctx context.Context) (seen string, good bool)

	mu     sync.Mutex
	before string    // what was seen when the watch began
	now    string    // what was seen last
	since  time.Time // from when on it has been good; zero while it is not
}

// observe takes one look.
func (s *symptom) observe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	seen, good := s.look(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return // the watch is over, and so this look says nothing
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = seen
	switch {
	case !good:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = time.Now()
	}
}

// result is what was seen last, and from when on it was good.
func (s *symptom) result() (seen string, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now, s.since
}

// awaitAll looks until all symptoms are good, or all are bad, and fails naming those that are not.
func awaitAll(ctx context.Context, symptoms []*symptom, good bool, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		var others []string
		for _, s := range symptoms {
			s.observe(ctx)
			if seen, since := s.result(); since.IsZero() == good {
				others = append(others, fmt.Sprintf("%s: %s", s.what, seen))
			}
		}
		if len(others) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New(strings.Join(others, "; "))
		}
	}
}

// watch looks at every symptom several times a second until the returned function is called, and says on w when one
// has gone.
func watch(ctx context.Context, w io.Writer, symptoms []*symptom) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	began := time.Now()
	var group sync.WaitGroup
	for _, s := range symptoms {
		s.before, _ = s.result()
		group.Go(func() {
			every := askEvery
			if s.fault {
				every = watchEvery
			}
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				_, was := s.result()
				s.observe(ctx)
				if seen, is := s.result(); was.IsZero() && !is.IsZero() {
					fmt.Fprintf(w, "✓ after %.1f s, %s: %s\n", is.Sub(began).Seconds(), s.what, seen)
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return func() {
		cancel()
		group.Wait()
	}
}

// symptoms of the incident: its four faults and what users see of them.
func (i *incident) symptoms(status *report.Status) ([]*symptom, error) {
	right := strings.TrimPrefix(i.owner.Path, "/")
	valid, err := report.ValidLogin("replay.user@nda-partners.com", "Replay User")
	if err != nil {
		return nil, err
	}
	login := func(body string, want int) func(context.Context) (string, bool) {
		return func(ctx context.Context) (string, bool) {
			code, text := status.Login(ctx, "", body)
			return text, code == want
		}
	}
	unique := 0
	return []*symptom{
		{what: "DATABASE_URL names another database", fault: true, look: i.databaseInUse(right)},
		{what: "the schema is gone", fault: true, look: i.tables()},
		{what: "no organizations", fault: true, look: i.organizations()},
		{what: "errors are cached by default", fault: true, look: func(ctx context.Context) (string, bool) {
			unique++
			return twice(ctx, status, fmt.Sprintf("/api/v1/no-such-page-%d-%d", time.Now().UnixNano(), unique), 404)
		}},
		{what: "login, structured", look: login(report.StructuredLogin, 400)},
		{what: "login, valid token", look: login(valid, 200)},
		{what: "GET /api/v1/organizations", look: func(ctx context.Context) (string, bool) {
			return twice(ctx, status, "/api/v1/organizations", 200)
		}},
	}, nil
}

// databaseInUse asks ECS what runs, and Secrets Manager what that was started with.
func (i *incident) databaseInUse(right string) func(context.Context) (string, bool) {
	known := map[string]string{} // what a task definition names never changes
	return func(ctx context.Context) (string, bool) {
		list, err := i.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &i.cluster, ServiceName: &i.service})
		if err != nil {
			return err.Error(), false
		}
		if len(list.TaskArns) == 0 {
			return "no task runs", false
		}
		out, err := i.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &i.cluster, Tasks: list.TaskArns})
		if err != nil {
			return err.Error(), false
		}
		var names []string
		for _, t := range out.Tasks {
			definition := aws.ToString(t.TaskDefinitionArn)
			if known[definition] == "" {
				if known[definition], err = i.databaseOf(ctx, definition); err != nil {
					return err.Error(), false
				}
			}
			names = append(names, known[definition])
		}
		slices.Sort(names)
		names = slices.Compact(names)
		return strings.Join(names, " and "), len(names) == 1 && names[0] == right
	}
}

func (i *incident) databaseOf(ctx context.Context, definition string) (string, error) {
	out, err := i.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &definition})
	if err != nil {
		return "", err
	}
	for _, c := range out.TaskDefinition.ContainerDefinitions {
		for _, s := range c.Secrets {
			if aws.ToString(s.Name) != "DATABASE_URL" {
				continue
			}
			// ARN:key:stage:version, of which the last three may be absent or empty.
			parts := strings.Split(aws.ToString(s.ValueFrom), ":")
			in := &secretsmanager.GetSecretValueInput{SecretId: aws.String(strings.Join(parts[:min(7, len(parts))], ":"))}
			if len(parts) == 10 && parts[9] != "" {
				in.VersionId = &parts[9]
			}
			value, err := i.secrets.GetSecretValue(ctx, in)
			if err != nil {
				return "", err
			}
			text := aws.ToString(value.SecretString)
			name, _, _ := strings.Cut(text[strings.LastIndex(text, "/")+1:], "?")
			return name, nil
		}
	}
	return "", fmt.Errorf("%s has no DATABASE_URL", definition)
}

// asOwner keeps one connection for one symptom.
func (i *incident) asOwner(look func(ctx context.Context, conn *pgx.Conn) (string, bool, error)) func(context.Context) (string, bool) {
	var conn *pgx.Conn
	return func(ctx context.Context) (string, bool) {
		if conn == nil || conn.IsClosed() {
			var err error
			if conn, err = i.connect(ctx, i.owner.String()); err != nil {
				return "the database cannot be reached", false
			}
		}
		seen, good, err := look(ctx, conn)
		if err != nil {
			return err.Error(), false
		}
		return seen, good
	}
}

func (i *incident) tables() func(context.Context) (string, bool) {
	return i.asOwner(func(ctx context.Context, conn *pgx.Conn) (string, bool, error) {
		var there []string
		err := conn.QueryRow(ctx, `SELECT coalesce(array_agg(table_name::text ORDER BY table_name), '{}')
			FROM information_schema.tables WHERE table_schema = 'public' AND table_name IN ('users', 'organizations')`).Scan(&there)
		if err != nil {
			return "", false, err
		}
		var at []string
		if err := conn.QueryRow(ctx, `SELECT coalesce(array_agg(version_num::text), '{}') FROM public.alembic_version`).Scan(&at); err != nil {
			return "", false, err
		}
		if len(there) == 0 {
			return "neither users nor organizations", false, nil
		}
		return strings.Join(there, ", ") + "; at " + strings.Join(at, ", "), len(there) == 2 && len(at) == 1, nil
	})
}

func (i *incident) organizations() func(context.Context) (string, bool) {
	return i.asOwner(func(ctx context.Context, conn *pgx.Conn) (string, bool, error) {
		var there bool
		if err := conn.QueryRow(ctx, `SELECT to_regclass('public.organizations') IS NOT NULL`).Scan(&there); err != nil {
			return "", false, err
		}
		if !there {
			return "none, and no table for them", false, nil
		}
		var names []string
		if err := conn.QueryRow(ctx, `SELECT coalesce(array_agg(name::text ORDER BY id), '{}') FROM public.organizations WHERE deleted_at IS NULL`).Scan(&names); err != nil {
			return "", false, err
		}
		if len(names) == 0 {
			return "none", false, nil
		}
		return strings.Join(names, ", "), slices.Contains(names, "NDA Partners") && slices.Contains(names, "Default Organization"), nil
	})
}

// twice asks the site for a path two times: only a cache gives the first answer again.
func twice(ctx context.Context, site *report.Status, path string, want int) (string, bool) {
	first, err := site.Get(ctx, path)
	if err != nil {
		return err.Error(), false
	}
	second, err := site.Get(ctx, path)
	if err != nil {
		return err.Error(), false
	}
	if age := second.Header.Get("Age"); age != "" { // which only an answer from a cache has
		return fmt.Sprintf("%d, then %d from the cache (Age %s)", first.StatusCode, second.StatusCode, age), false
	}
	if first.StatusCode != second.StatusCode {
		return fmt.Sprintf("%d, then %d", first.StatusCode, second.StatusCode), false
	}
	return fmt.Sprintf("%d, both from the origin", first.StatusCode), first.StatusCode == want
}
