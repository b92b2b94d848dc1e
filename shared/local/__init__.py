"""The local stack: a Kafka broker, an S3 object store, a trace receiver and the stage services under one supervisor.

`shared.local.stack` starts and stops it, `shared.local.status` reads its state, `shared.local.doctor` reports faults.
Everything listens on loopback only and keeps its state in one folder (`LIPSTAGE_STATE_DIR`).
"""
