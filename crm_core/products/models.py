"""The table of products."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Currency, Minor


class Product(Base):
    """Something that is sold, with its list price and cost per unit."""

    __tablename__ = "products"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    family: Mapped[str | None] = mapped_column(Text)
    list_price_minor: Mapped[int | None] = mapped_column(Minor)
    cost_minor: Mapped[int | None] = mapped_column(Minor)
    currency: Mapped[str | None] = mapped_column(Currency)
    custom: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
