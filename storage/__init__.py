"""What survives: session files, state, index, and the type that hides secrets. Imports nothing of ours."""

from storage.engine import Executor, File
from storage.errors import StorageError, Unusable
from storage.folder import DataFolder
from storage.index import IndexFile, Rebuilt
from storage.ledger import Ledger, NewArtifact, NewEffect, NewEvent
from storage.prompts import Accepted, NewPrompt, Outcome, Stop, Stopped
from storage.questions import question_key
from storage.secret import Secret
from storage.session_file import SessionFile, Thread
from storage.session_store import NoSession, SessionStore
from storage.spending import Account, Reserved, Spending, TurnTotal
from storage.state import StateFile

__all__ = [
    "Accepted",
    "Account",
    "DataFolder",
    "Executor",
    "File",
    "IndexFile",
    "Ledger",
    "NewArtifact",
    "NewEffect",
    "NewEvent",
    "NewPrompt",
    "NoSession",
    "Outcome",
    "Rebuilt",
    "Reserved",
    "Secret",
    "SessionFile",
    "SessionStore",
    "Spending",
    "StateFile",
    "Stop",
    "Stopped",
    "StorageError",
    "Thread",
    "TurnTotal",
    "Unusable",
    "question_key",
]
