package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ticket is one as clients send and get it.
type ticket struct {
	ID      int64  `json:"id"`
	Queue   string `json:"queue"`
	Subject string `json:"subject"`
}

func handler(pool *pgxpool.Pool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if err := pool.Ping(r.Context()); err != nil {
			fail(w, err)
			return
		}
		reply(w, http.StatusOK, map[string]string{"version": os.Getenv("SERVICE_VERSION")})
	})
	mux.HandleFunc("GET /tickets", func(w http.ResponseWriter, r *http.Request) {
		rows, err := pool.Query(r.Context(), `SELECT id, queue, subject FROM tickets ORDER BY id`)
		if err != nil {
			fail(w, err)
			return
		}
		all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ticket])
		if err != nil {
			fail(w, err)
			return
		}
		reply(w, http.StatusOK, all)
	})
	mux.HandleFunc("POST /tickets", func(w http.ResponseWriter, r *http.Request) {
		var t ticket
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&t); err != nil || t.Subject == "" {
			reply(w, http.StatusBadRequest, map[string]string{"error": "a ticket has a queue and a subject"})
			return
		}
		err := pool.QueryRow(r.Context(), `INSERT INTO tickets (queue, subject) VALUES ($1, $2) RETURNING id`, t.Queue, t.Subject).Scan(&t.ID)
		const foreignKey = "23503"
		var refused *pgconn.PgError
		switch {
		case errors.As(err, &refused) && refused.Code == foreignKey:
			reply(w, http.StatusUnprocessableEntity, map[string]string{"error": "there is no queue " + t.Queue})
		case err != nil:
			fail(w, err)
		default:
			reply(w, http.StatusCreated, t)
		}
	})
	return mux
}

func fail(w http.ResponseWriter, err error) {
	fmt.Fprintln(os.Stderr, err)
	reply(w, http.StatusInternalServerError, map[string]string{"error": "the database does not answer as it should"})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that has gone misses it
}
