"""Notes on records: written, withdrawn by their author, with mentions that tell who is meant."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from crm_core.errors import Invalid, NotFound
from crm_core.people.models import User
from crm_core.people.queries import Visibility, visible_to
from crm_core.processes import alerts, subjects
from crm_core.processes.acting import Acting
from crm_core.processes.models import Note

LONGEST = 10_000
MOST_MENTIONS = 20
_MENTION = re.compile(r"(?<![\w@])@([\w.+-]+@[\w-]+(?:\.[\w-]+)*)")


class NoSuchNote(NotFound):
    """No note has this number, or it is not the asker's to withdraw."""


class BadNote(Invalid):
    """The note is empty or too long, or mentions somebody who cannot be told."""


@dataclass(frozen=True, slots=True)
class NoteView:
    """A note as it is shown; ``body`` is plain text and must be escaped."""

    id: int
    subject_kind: str
    subject_id: str
    author_id: str
    author: str
    body: str
    mentions: tuple[str, ...]
    created_at: dt.datetime


def write(
    session: Session, *, subject_kind: str, subject_id: str, body: str, acting: Acting
) -> int:
    """Write a note on a record that the author may see; return its number.

    ``@name@company.example`` mentions a person by e-mail. Who may not see the record cannot be
    mentioned, so that a mention never tells what the record hides. Raises NoSuchSubject, BadNote.
    """
    assert acting.viewer is not None
    subject = subjects.find(session, subject_kind, subject_id, visibility=acting.visibility)
    text = body.strip()
    if not 0 < len(text) <= LONGEST:
        raise BadNote(f"A note has between 1 and {LONGEST} characters.")
    meant = _mentioned(session, text, subject, acting=acting)
    note = Note(
        subject_kind=subject_kind, subject_id=subject_id, author_id=acting.viewer.id, body=text,
        mentions=[person.id for person in meant], created_at=acting.now,
    )  # fmt: skip
    session.add(note)
    session.flush()
    author = session.get(User, acting.viewer.id)
    for person in meant:
        if person.id != acting.viewer.id:
            alerts.raise_alert(
                session, user_id=person.id, kind="mention", dedupe_key=f"note:{note.id}",
                words={"by": author.name if author else "", "title": subject.title},
                subject_kind=subject_kind, subject_id=subject_id, now=acting.now,
            )  # fmt: skip
    acting.log(
        session, "create", "notes", note.id, {"subject": (None, f"{subject_kind} {subject_id}")}
    )
    return note.id


def _mentioned(
    session: Session, text: str, subject: subjects.Subject, *, acting: Acting
) -> list[User]:
    emails = list(dict.fromkeys(each.rstrip(".").lower() for each in _MENTION.findall(text)))
    if len(emails) > MOST_MENTIONS:
        raise BadNote(f"A note mentions at most {MOST_MENTIONS} people.")
    people = session.scalars(select(User).where(User.email.in_(emails))).all() if emails else []
    unknown = set(emails) - {person.email for person in people if person.left_on is None}
    if unknown:
        raise BadNote(f"Nobody here has the e-mail {min(unknown)}; correct the mention.")
    for person in people:
        sight = visible_to(session, person, as_of=acting.now)
        if not subjects.sees(session, subject.kind, subject.id, visibility=sight):
            raise BadNote(f"{person.name} may not see this record and so cannot be mentioned.")
    return list(people)


def withdraw(session: Session, note_id: int, *, acting: Acting) -> None:
    """Withdraw one's own note; sales operations may withdraw anybody's. Raises NoSuchNote."""
    note = session.scalar(
        select(Note).where(
            Note.id == note_id, Note.withdrawn_at.is_(None), visible(acting.visibility)
        )
    )
    mine = note is not None and note.author_id == acting.user_id
    if note is None or not (mine or acting.visibility.everyone):
        raise NoSuchNote("There is no such note of yours.")
    if not mine:
        acting.requires_operations()
    note.withdrawn_at = acting.now
    session.flush()
    alerts.resolve(session, f"note:{note.id}", now=acting.now)
    acting.log(session, "withdraw", "notes", note.id, {})


def visible(visibility: Visibility) -> ColumnElement[bool]:
    """Return the condition that a note may be seen: as its record may be."""
    return subjects.condition(Note.subject_kind, Note.subject_id, visibility)


def listed(
    session: Session,
    *,
    subject_kind: str,
    subject_id: str,
    visibility: Visibility,
    as_of: dt.datetime,
    limit: int = 100,
) -> tuple[NoteView, ...]:
    """Return the notes on a record, newest first. Raises NoSuchSubject."""
    subjects.find(session, subject_kind, subject_id, visibility=visibility)
    about = and_(Note.subject_kind == subject_kind, Note.subject_id == subject_id)
    return where(session, about, as_of=as_of, limit=limit)


def where(
    session: Session, about: ColumnElement[bool], *, as_of: dt.datetime, limit: int
) -> tuple[NoteView, ...]:
    """Return the notes on records that the caller knows to be visible, newest first."""
    rows = session.execute(
        select(Note, User.name)
        .join(User, User.id == Note.author_id)
        .where(about, Note.withdrawn_at.is_(None), Note.created_at <= as_of)
        .order_by(Note.created_at.desc(), Note.id.desc())
        .limit(limit)
    )
    return tuple(
        NoteView(
            note.id, note.subject_kind, note.subject_id, note.author_id, name, note.body,
            tuple(note.mentions), note.created_at,
        )
        for note, name in rows
    )  # fmt: skip
