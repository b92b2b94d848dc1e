import pytest

from stages.face.models import FaceModels, load_models


@pytest.fixture(scope="session")
def models() -> FaceModels:
    return load_models()
