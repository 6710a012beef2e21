"""One validated Config: the structs that are the TOML sections, and how they are loaded."""

from fastmail_ingest.config.account import Account
from fastmail_ingest.config.admin import AdminConfig
from fastmail_ingest.config.backup import BackupConfig
from fastmail_ingest.config.failure import BreakerConfig, RetryConfig, RetryFor
from fastmail_ingest.config.load import load
from fastmail_ingest.config.observation import LoggingConfig, TracingConfig
from fastmail_ingest.config.schema import (
    BlobsConfig,
    Config,
    HandlerConfig,
    LedgerConfig,
    ProducerConfig,
    RedisConfig,
    SupervisorConfig,
    WorkerConfig,
)
from fastmail_ingest.config.secrecy import mask_url

__all__ = [
    "Account",
    "AdminConfig",
    "BackupConfig",
    "BlobsConfig",
    "BreakerConfig",
    "Config",
    "HandlerConfig",
    "LedgerConfig",
    "LoggingConfig",
    "ProducerConfig",
    "RedisConfig",
    "RetryConfig",
    "RetryFor",
    "SupervisorConfig",
    "TracingConfig",
    "WorkerConfig",
    "load",
    "mask_url",
]
