from django.db import migrations, models


class Migration(migrations.Migration):
    # A SHA-256 is no XXH3: what is known of the files of before is forgotten until they are read again.

    dependencies = [
        ('sources', '0001_initial'),
    ]

    operations = [
        migrations.RemoveField(
            model_name='sourcefile',
            name='sha256',
        ),
        migrations.AddField(
            model_name='sourcefile',
            name='digest',
            field=models.CharField(blank=True, default='', max_length=32),
            preserve_default=False,
        ),
    ]
