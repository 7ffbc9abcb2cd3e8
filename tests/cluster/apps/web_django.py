"""A Django project in one file: `web_django.py runserver PORT`. The answer is the pid."""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path

MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None, MIDDLEWARE=MIDDLEWARE)
urlpatterns = [path("", lambda request: HttpResponse(str(os.getpid())))]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
