"""The local stack: a real Kafka broker, a real S3 store, a trace receiver and the stage services, under one supervisor.

`shared.local.stack` starts and stops it, `shared.local.status` looks at it, `shared.local.doctor` says what is wrong.
Everything listens on loopback only and keeps its state in one folder (`LIPSTAGE_STATE_DIR`).
"""
